"""Where blobs lie: the file-system port of the engine, and its adapters."""
