"""The JSON interface that the command line and other processes use."""
