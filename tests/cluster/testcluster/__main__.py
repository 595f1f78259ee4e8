"""``python -m testcluster up|down``: the test cluster by hand."""

from __future__ import annotations

import argparse
import sys
import time

from testcluster.node import FOLDER, Node


def main() -> int:
    parser = argparse.ArgumentParser(prog="testcluster", description=__doc__)
    parser.add_argument("do", choices=("up", "down"))
    options = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {text}\n")
        sys.stdout.flush()

    node = Node(FOLDER)
    if options.do == "down":
        node.down(say)
        return 0
    node.up(say)
    say(f"ready: export KUBECONFIG={node.kubeconfig}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
