"""``workshop doctor``: which part is the reason."""
