"""One proof that our light worker process and the official worker are the same to every client."""
