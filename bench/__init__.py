"""Benchmarks: `python -m bench` runs what needs no outside program, `--smoke` all of it tiny."""
