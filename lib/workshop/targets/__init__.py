"""The places where parts run, and what every one of them can do."""
