"""What follows from a transition, one consequence a file."""
