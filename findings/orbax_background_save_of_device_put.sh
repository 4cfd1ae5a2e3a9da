#!/usr/bin/env bash
# Orbax 0.12.8: AsyncCheckpointer saves what is written after `save` has returned.
#
# `save` copies NumPy arrays, but of JAX arrays on a CPU it keeps views until they are written. Those
# that jax.device_put made of a NumPy array at a multiple of 64 bytes are views of that array
# themselves (device_put_may_alias_false_is_a_view.sh). So a program that refills its buffers finds
# values in the checkpoint that were never those of the state it saved. Copies made by JAX
# (`x.copy()`, waited for) are safe.
#
# Seen with JAX 0.10.2 and 0.12.0.1: saved 7.0 for device_put, 1.0 for its copy and for NumPy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp

memory = np.zeros((1 << 20) + 64, np.uint8)
start = -memory.ctypes.data % 64
x = memory[start : start + (1 << 20)].view(np.float32)
found = {}
for name, place in {
    "device_put": jax.device_put,
    "copy": lambda x: jax.block_until_ready(jax.device_put(x).copy()),
    "numpy": lambda x: x,
}.items():
    x[:] = 1
    path = tempfile.mkdtemp(dir=sys.argv[1]) + "/saved"
    with ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        checkpointer.save(path, {"a": place(x)})
        x[:] = 7
        checkpointer.wait_until_finished()
        how = {"a": ocp.RestoreArgs(restore_type=np.ndarray)}
        found[name] = float(checkpointer.restore(path, restore_args=how)["a"].max())
print("jax", jax.__version__, "orbax", ocp.__version__, found)
sys.exit(found != {"device_put": 7.0, "copy": 1.0, "numpy": 1.0})
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6" "orbax-checkpoint==0.12.8"
  JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" "$folder" 2> "$folder/stderr"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
