"""Pipelines: specs, jobs, and the gateway that runs beside each of them."""
