"""kubectl as the test cluster's administrator."""

from __future__ import annotations

import subprocess
from pathlib import Path


def kubectl(
    kubeconfig: Path, *words: str, check: bool = True, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run it; it never waits for ever on a port that nobody serves."""
    done = subprocess.run(
        ["kubectl", f"--kubeconfig={kubeconfig}", "--request-timeout=20s", *words],
        capture_output=True,
        text=True,
        check=False,
        **more,
    )
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done
