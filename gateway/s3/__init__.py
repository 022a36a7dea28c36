"""What an S3 request means."""
