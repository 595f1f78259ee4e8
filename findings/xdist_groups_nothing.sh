#!/bin/sh
# pytest-xdist 3.8.0 with pytest 9.2.0, seen on 2026-11-28.
#
# Expected: with --dist=loadgroup, tests that are marked with the same xdist_group run in one
# worker, in order.
# Seen: they are spread over all workers, and nothing warns. pytest-xdist hangs the group's name on
# the attribute `_nodeid` of a test, from which pytest 9.2.0 does not make the test's id any more.
# Groups by file or by module (--dist=loadfile, loadscope) work, and so does a scheduler of one's
# own (the hook pytest_xdist_make_scheduler).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pytest==9.2.0 pytest-xdist==3.8.0
cat >test_group.py <<'PYTHON'
import os
import pathlib

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(20))
def test_one(number):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    pathlib.Path(os.environ["SEEN"], worker).touch()
PYTHON
workers() {
    seen=$(mktemp -d "$work/seen.XXXX")
    SEEN=$seen venv/bin/pytest -q -p no:cacheprovider -n 2 "--dist=$1" >/dev/null
    ls "$seen" | wc -l
}
grouped=$(workers loadgroup)
filed=$(workers loadfile)
echo "workers that ran tests of one group: $grouped"
echo "workers that ran tests of one file with --dist=loadfile: $filed"
if [ "$grouped" -ne 2 ] || [ "$filed" -ne 1 ]; then
    echo "the behaviour has changed" >&2
    exit 1
fi
