"""Notebook 09: what is measured, the burst of questions, the logs, the proof."""
