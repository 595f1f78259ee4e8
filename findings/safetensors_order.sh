#!/bin/sh
# safetensors 0.8.0 (Python) with numpy 2.5.5, seen on 2026-11-28.
#
# Expected: a file's tensors come in the order in which they stand in it, or sorted by name.
# Seen: `safetensors.numpy.load` gives them in another order in every process. A file that is
# converted tensor by tensor, to GGUF for example, then has another hash each time; `safe_open(...)
# .keys()` has a fixed order.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.12}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.5.5
venv/bin/python - <<'PYTHON'
import numpy
from safetensors.numpy import save_file

save_file({f"layer.{n}": numpy.zeros(1, "float32") for n in range(12)}, "model.safetensors")
PYTHON
for _ in 1 2 3 4; do
    venv/bin/python -c '
from safetensors.numpy import load
print(*load(open("model.safetensors", "rb").read()))'
done >loaded
for _ in 1 2 3 4; do
    venv/bin/python -c '
from safetensors import safe_open
print(*safe_open("model.safetensors", "np").keys())'
done >opened
cat loaded
echo "orders by load: $(sort -u loaded | wc -l), by safe_open: $(sort -u opened | wc -l)"
if [ "$(sort -u loaded | wc -l)" -lt 2 ] || [ "$(sort -u opened | wc -l)" -ne 1 ]; then
    echo "the behaviour has changed" >&2
    exit 1
fi
