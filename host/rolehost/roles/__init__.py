"""The roles: what each process of a deployment does."""
