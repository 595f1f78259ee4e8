"""GPU nodes: machines, operators, autoscaling."""
