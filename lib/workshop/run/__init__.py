"""The runner: executes the notebooks, shows their progress, and writes the report."""
