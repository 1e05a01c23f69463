"""Programs that benchmarks run as separate processes."""
