"""Public clients, unmodified and from the package indexes: only their base URL is set."""
