#!/usr/bin/env bash
# Orbax 0.12.8 cannot save some dtypes that JAX has, and says so after it has begun to write.
#
# uint2, uint4, float8_e4m3 and the two float6 are refused by TensorStore ("Unsupported data type"),
# and scalars of ml_dtypes and numpy.bool_ by Orbax ("TypeHandler lookup failed"), which are fine as
# arrays without axes. The error names no leaf in the first case, and a directory that ends in
# `.orbax-checkpoint-tmp` stays behind. int2, int4, float4_e2m1fn and the other float8 are saved.
#
# What helps: ask `tensorstore.dtype(dtype.name)` before; it knows exactly those that can be saved.
#
# Seen with JAX 0.10.2 and 0.12.0.1, TensorStore 0.1.86.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import os
import pathlib
import sys

import jax
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import tensorstore

names = [name for name in dir(ml_dtypes) if isinstance(getattr(ml_dtypes, name), type)]
dtypes = [getattr(ml_dtypes, name) for name in names if name not in ("finfo", "iinfo")]
above = pathlib.Path(sys.argv[1]) / f"saved-{jax.__version__}"


def known(dtype):
    try:
        return bool(tensorstore.dtype(np.dtype(dtype).name))
    except ValueError:
        return False


refused, wrong, left = [], [], 0
with ocp.PyTreeCheckpointer() as checkpointer:
    for dtype in dtypes:
        name = np.dtype(dtype).name
        try:
            checkpointer.save(above / name, {"a": np.ones(3, dtype)})
        except ValueError:
            refused.append(name)
            left += len(os.listdir(above)) and any(name in each for each in os.listdir(above))
        if (name in refused) == known(dtype):
            wrong.append(name)
    try:
        checkpointer.save(above / "scalar", {"a": ml_dtypes.bfloat16(1)})
        scalar = "saved"
    except ValueError as error:
        scalar = str(error).split(":")[0]
print("jax", jax.__version__, "refused", refused, "begun", left, "scalar:", scalar)
expected = {"float8_e4m3", "uint2", "uint4", "float6_e2m3fn", "float6_e3m2fn"}
sys.exit(bool(wrong) or not expected <= set(refused) or left != len(refused) or scalar == "saved")
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6" "orbax-checkpoint==0.12.8" "tensorstore==0.1.86"
  JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" "$folder" 2> "$folder/stderr" \
    || { cat "$folder/stderr"; return 1; }
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
