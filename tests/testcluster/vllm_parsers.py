"""Writes ``vllm_parsers.json`` anew: the names of the parsers that a release of vLLM has.

    python tests/testcluster/vllm_parsers.py vllm-0.33.0-*.whl > tests/testcluster/vllm_parsers.json

The wheel is the one of the package index; nothing of it is run.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path


def names(wheel: Path) -> dict[str, object]:
    """Version, source, and both lists, as the package registers them."""
    with zipfile.ZipFile(wheel) as opened:
        lists = {
            kind: re.findall(r'(?m)^    "([^"]+)": \(', opened.read(f"vllm/{file}").decode())
            for kind, file in (
                ("tool", "tool_parsers/__init__.py"),
                ("reasoning", "reasoning/__init__.py"),
            )
        }
    return {"version": wheel.name.split("-")[1], "source": f"{wheel.name}, its registries"} | lists


if __name__ == "__main__":
    sys.stdout.write(json.dumps(names(Path(sys.argv[1])), indent=1) + "\n")
