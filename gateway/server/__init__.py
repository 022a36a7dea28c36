"""Sockets on one side, wire messages on the other."""
