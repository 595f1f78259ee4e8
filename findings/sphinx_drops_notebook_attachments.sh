#!/bin/sh
# myst-nb 1.4.0 with Sphinx 9.1.1, and nbconvert 7.17.2, seen on 2026-11-30.
#
# Expected: a picture that is attached to a Markdown cell, which is how JupyterLab keeps one that
# was pasted or dragged into it, is on the page that Sphinx makes of the notebook.
# Seen: the page has a broken image. myst-nb looks for a file `attachment:dot.png` beside the
# notebook, warns that it cannot be read, and Sphinx exits with 0; only with -W it is an error.
# nbconvert puts the same picture into its page. Before Sphinx reads a notebook, the link must lead
# to a file again.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
    myst-nb==1.4.0 sphinx==9.1.1 nbconvert==7.17.2 nbformat==5.11.1
mkdir source
venv/bin/python - <<'PYTHON'
import nbformat

# One grey pixel.
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
cell = nbformat.v4.new_markdown_cell("# Title\n\n![a dot](attachment:dot.png)")
cell["attachments"] = {"dot.png": {"image/png": DOT}}
notebook = nbformat.v4.new_notebook(cells=[cell])
nbformat.validate(notebook)
nbformat.write(notebook, "source/index.ipynb")
PYTHON
cat >source/conf.py <<'PYTHON'
extensions = ["myst_nb"]
nb_execution_mode = "off"
PYTHON
venv/bin/sphinx-build -q source html 2>warnings.txt
grep -o "image file not readable: attachment:dot.png" warnings.txt || true
venv/bin/jupyter-nbconvert --to html --output-dir=. source/index.ipynb 2>/dev/null
embedded=$(grep -c 'src="data:image/png;base64' index.html || true)
shown=$(grep -c 'src="data:image/png;base64\|_images/' html/index.html || true)
echo "pictures on nbconvert's page: $embedded; on Sphinx's page: $shown"
if [ "$embedded" -ne 1 ] || [ "$shown" -ne 0 ] || ! grep -q attachment html/index.html; then
    echo "the behaviour has changed" >&2
    exit 1
fi
