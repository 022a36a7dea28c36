"""The content-addressed floor: chunks, the extent log that holds them, and the index."""
