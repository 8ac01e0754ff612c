"""Times every operator beside its peers: `python -m benchmarks.operators`."""
