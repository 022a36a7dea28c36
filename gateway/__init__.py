"""Sidegate: a versioned, deduplicating S3 gateway that runs beside a data pipeline."""

__version__ = "0.1.0"
