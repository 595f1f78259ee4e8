"""A real single-node Kubernetes in a folder of its own, for the tests: API server to kubelet."""
