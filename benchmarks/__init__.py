"""Side-by-side measurements against peers; each is one command that prints a ratio: `python -m benchmarks.expand`."""
