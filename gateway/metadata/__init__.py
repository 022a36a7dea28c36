"""Rows that change: a port with transactions and compare-and-swap, and its adapters."""
