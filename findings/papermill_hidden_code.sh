#!/bin/sh
# papermill 2.7.0 and nbconvert 7.17.2, seen on 2026-11-28.
#
# Expected: a notebook that papermill has executed with --report-mode hides its code, also in the
# page that nbconvert makes of it.
# Seen: papermill marks each cell with jupyter.source_hidden. JupyterLab goes by that mark;
# nbconvert's page shows the code all the same, unless it is told to exclude all input.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    papermill==2.7.0 nbconvert==7.17.2 ipykernel==7.1.0
venv/bin/python - <<'PYTHON'
import nbformat

book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("total = 40 + 2\nprint(total)")])
book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
nbformat.write(book, "in.ipynb")
PYTHON
PATH="$work/venv/bin:$PATH"
papermill --report-mode --no-progress-bar --log-level ERROR in.ipynb out.ipynb
jupyter nbconvert --log-level ERROR --to html out.ipynb
jupyter nbconvert --log-level ERROR --to html --no-input --output no-input out.ipynb
venv/bin/python - <<'PYTHON'
import html
import re
import sys

import nbformat


def code_in(page):
    text = html.unescape(re.sub(r"<[^>]+>", "", open(page, encoding="utf-8").read()))
    return "total = 40 + 2" in text


(cell,) = nbformat.read("out.ipynb", 4).cells
marked = cell.metadata.get("jupyter", {}).get("source_hidden")
print("marked as hidden by papermill:", marked)
print("code in nbconvert's page:", code_in("out.html"))
print("code in it with --no-input:", code_in("no-input.html"))
if (marked, code_in("out.html"), code_in("no-input.html")) != (True, True, False):
    sys.exit("the behaviour has changed")
PYTHON
