"""Notebook 08: who may reach what, and new credentials."""
