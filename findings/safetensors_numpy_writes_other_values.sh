#!/usr/bin/env bash
# safetensors 0.8.0 with NumPy 2.4: save_file writes arrays that are not in C order as other values.
#
# safetensors.numpy.save_file takes the memory of an array as it lies. A transpose, an array in
# Fortran order, or one read backwards comes back with the shape that was saved and the numbers in
# another order, without an error or a warning. The PyTorch half of the package refuses tensors that
# are not contiguous; the NumPy half does not look.
#
# Why it matters: kernels are transposed on their way between frameworks (x.T), and that is a view.
# A conversion script that saves the view stores a wrong model whose shapes all fit.
#
# Seen: of a transpose, an array in Fortran order, a reversed one and a contiguous one, only the last
# comes back equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

x = np.arange(24, dtype=np.float32).reshape(4, 6)
arrays = {
    "transposed": x.reshape(6, 4).T,
    "fortran": np.asfortranarray(x),
    "reversed": x[::-1],
    "contiguous": x,
}
save_file(arrays, sys.argv[1])
read = load_file(sys.argv[1])
shapes = all(read[name].shape == array.shape for name, array in arrays.items())
equal = {name: bool(np.array_equal(read[name], array)) for name, array in arrays.items()}
print("safetensors", safetensors.__version__, "numpy", np.__version__, "shapes kept:", shapes, equal)
expected = {"transposed": False, "fortran": False, "reversed": False, "contiguous": True}
sys.exit(not shapes or equal != expected)
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" 3.11)" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  "safetensors==0.8.0" "numpy==2.4.6"
"$folder/env/bin/python" "$folder/program.py" "$folder/arrays.safetensors"
echo "as found"
