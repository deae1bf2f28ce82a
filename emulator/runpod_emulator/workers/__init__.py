"""What runs handlers."""
