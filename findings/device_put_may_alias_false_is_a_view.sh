#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: jax.device_put(x, may_alias=False) may still be a view of x on the CPU.
#
# The documentation calls may_alias=False a forced copy. On the CPU backend an array whose memory
# begins at a multiple of 64 bytes is taken as it is all the same: what is written to the NumPy
# array afterwards shows in the JAX array. jnp.array(x) copies.
#
# Why it matters: batches that wait in a prefetch queue, snapshots for a background save and state
# that is "copied before it is changed" change with the buffer that they came from, silently, and
# only when the allocator happens to give aligned memory.
#
# Seen with both versions: value after the write 7.0 for device_put(may_alias=False), 1.0 for
# jnp.array.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

memory = np.zeros(1024 + 64, np.uint8)
start = -memory.ctypes.data % 64
x = memory[start : start + 1024].view(np.float32)
found = {}
for name, place in {
    "device_put": lambda: jax.device_put(x, may_alias=False),
    "array": lambda: jnp.array(x),
}.items():
    x[:] = 1
    placed = jax.block_until_ready(place())
    x[:] = 7
    found[name] = float(placed[0])
print("jax", jax.__version__, found)
sys.exit(found != {"device_put": 7.0, "array": 1.0})
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6"
  JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
