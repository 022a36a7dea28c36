"""Where user code runs: the port, and its adapters."""
