"""The target of objects in a namespace."""
