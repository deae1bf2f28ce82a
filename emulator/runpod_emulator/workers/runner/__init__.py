"""The child side of a worker process: runs under the handler's own interpreter, standard library only."""
