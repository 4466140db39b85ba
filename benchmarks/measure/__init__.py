"""What all benchmarks share: runs in processes of their own, medians, reports, plots."""
