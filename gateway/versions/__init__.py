"""Names, commits, open commits: what a bucket shows and what a write becomes."""
