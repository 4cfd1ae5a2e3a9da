#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: jax.eval_shape forgets how results lie if one axis of the mesh is automatic.
#
# Under a mesh whose axes are all explicit, jax.eval_shape returns shapes with a NamedSharding, as types
# on such meshes have one. With one explicit and one automatic axis the result has `sharding` None,
# although the very types inside of the trace, as jax.make_jaxpr shows them, say P('data', None).
#
# Why it matters: abstract states are made by eval_shape, and what restores a checkpoint or plans
# memory reads shardings from them. After one axis has become automatic, each device is asked to hold
# the whole state, and nothing says so. The types of make_jaxpr(f)(x).out_avals are complete.
#
# Seen: explicit, explicit -> P('data', None) and P('data', None); explicit, automatic -> None and
# P('data', None); on both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P


def double(x):
    return x * 2


found = {}
for name, kind in {"explicit": AxisType.Explicit, "automatic": AxisType.Auto}.items():
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit, kind))
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((4, 4)), NamedSharding(mesh, P("data", None)))
        shape, inside = jax.eval_shape(double, x), jax.make_jaxpr(double)(x).out_avals[0]
    spec = None if shape.sharding is None else shape.sharding.spec
    found[name] = (spec, inside.sharding.spec)
print("jax", jax.__version__, found)
rows = P("data", None)
sys.exit(found != {"explicit": (rows, rows), "automatic": (None, rows)})
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6"
  JAX_PLATFORMS=cpu XLA_FLAGS=--xla_force_host_platform_device_count=4 \
    "$folder/$2/bin/python" "$folder/program.py"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
