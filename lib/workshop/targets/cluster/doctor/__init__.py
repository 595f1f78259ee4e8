"""What a cluster knows to be wrong with a part, without asking it."""
