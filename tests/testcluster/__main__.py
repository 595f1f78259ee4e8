"""``python -m testcluster build|up [--openshift ogx]|down``: the test cluster by hand."""

from __future__ import annotations

import argparse
import sys
import time

from testcluster import cyclonus, openshift, pins, programs
from testcluster.node import FOLDER, Node


def main() -> int:
    parser = argparse.ArgumentParser(prog="testcluster", description=__doc__)
    parser.add_argument("do", choices=("build", "up", "down"))
    parser.add_argument(
        "--openshift",
        choices=("llamastack", "ogx"),
        help="make it an OpenShift with this generation of Llama Stack's operator",
    )
    options = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:7.1f} s  {text}\n")
        sys.stdout.flush()

    node = Node(FOLDER)
    if options.do == "build":
        programs.debian_programs(say)
        for wanted in (pins.PROGRAMS, (pins.KSERVE,), cyclonus.CYCLONUS):
            programs.go_programs(say, wanted)
        return 0
    if options.do == "down":
        node.down(say)
        return 0
    node.up(say)
    if options.openshift:
        openshift.up(node, node.place(say), say, generation=options.openshift)
    say(f"ready: export KUBECONFIG={node.kubeconfig}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
