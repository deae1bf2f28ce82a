"""What is shown of secrets, and of text that others wrote."""
