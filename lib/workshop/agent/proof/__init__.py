"""The proof: whether an answer says what the tools gave, and nothing else."""
