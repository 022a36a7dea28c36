"""One module for each group of S3 operations."""
