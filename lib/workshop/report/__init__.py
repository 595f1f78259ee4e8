"""The report of a run: what is kept of it, and its pages."""
