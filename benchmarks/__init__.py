"""How fast it is, beside its peers and beside what the machine allows: `python -m benchmarks`."""
