"""Who reaches whom on a cluster: policies, Routes, and probes that try."""
