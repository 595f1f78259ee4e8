"""The target of processes on this machine."""
