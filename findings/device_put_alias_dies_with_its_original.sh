#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: jax.device_put(x, device) may be a second array over the memory of x, and
# is deleted when x is donated. The same holds for x.addressable_data(0), for the shards of x and for
# what jax.make_array_from_single_device_arrays makes of them.
#
# The documentation of donation speaks of the array that is given to the function. The other array
# has a reference of its own, and none to x, so no count of references shows that it is needed.
#
# Why it matters: "a copy on the device" that a program keeps before a step with donate_argnums,
# to restore it when the step was no good, is gone with the step. jnp.array(x) copies.
#
# Seen with both versions: placed, part and joined are deleted; copied is not. A view of NumPy or
# DLPack on the CPU makes JAX copy instead, and x itself is not even deleted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
import numpy as np

place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
step = jax.jit(lambda x: x + 1, donate_argnums=0)
ways = {
    "placed": lambda x: jax.device_put(x, jax.devices()[0]),
    "part": lambda x: x.addressable_data(0),
    "joined": lambda x: jax.make_array_from_single_device_arrays(x.shape, place, [x]),
    "copied": jnp.array,
}
found = {}
for name, way in ways.items():
    x = jnp.arange(1024.0) + 1
    other = jax.block_until_ready(way(x))
    jax.block_until_ready(step(x))
    found[name] = other is not x and other.is_deleted()
x = jnp.arange(1024.0) + 1
view = np.from_dlpack(x)
jax.block_until_ready(step(x))
found["of which there is a view"] = x.is_deleted()
print("jax", jax.__version__, found)
sys.exit(list(found.values()) != [True, True, True, False, False])
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
