"""Notebook 08: who may reach what, and credentials made anew."""
