"""Notebook 10: more of a part, and what users see of it."""
