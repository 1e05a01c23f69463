"""The three plugins: what each contributes, and nothing else."""
