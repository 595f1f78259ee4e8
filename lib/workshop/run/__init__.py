"""The runner: executes the notebooks with papermill, shows progress, and writes the report."""
