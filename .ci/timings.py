"""Where the minutes of `.ci/run` went: python3 .ci/timings.py FOLDER.

Reads ``blocks.txt`` (a block's name and its seconds, per line) and every JUnit file in the folder.
Only the standard library is used: it also runs when set-up has failed.
"""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

SLOWEST = 40


def main(folder: Path) -> None:
    """Print minutes per block, per file of tests, and the slowest tests."""
    print("\nminutes per block")
    blocks = folder / "blocks.txt"
    for line in blocks.read_text().splitlines() if blocks.exists() else ():
        name, seconds = line.split()
        print(f"{int(seconds) / 60:7.1f}  {name}")
    tests, files = Counter(), Counter()
    for report in sorted(folder.glob("*.xml")):
        suite = ElementTree.parse(report).getroot().find("testsuite")
        print(f"{float(suite.get('time')) / 60:7.1f}    {report.stem}: {suite.get('tests')} tests")
        for case in suite.iter("testcase"):
            seconds = float(case.get("time"))
            tests[f"{case.get('classname')}::{case.get('name')}"] += seconds
            files[case.get("classname")] += seconds
    print("\nminutes per file; files of a block ran side by side")
    for name, seconds in files.most_common():
        if seconds >= 6:
            print(f"{seconds / 60:7.1f}  {name}")
    print(f"\nslowest {SLOWEST} tests, in seconds")
    for name, seconds in tests.most_common(SLOWEST):
        print(f"{seconds:7.1f}  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
