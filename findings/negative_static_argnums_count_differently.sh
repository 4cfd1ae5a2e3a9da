#!/usr/bin/env bash
# JAX 0.12.0.1: static_argnums=-1 means another argument to jax.jit than to jax.checkpoint.
#
# Where the last parameter has a default and is left out of a call, jax.jit of 0.12.0.1 counts -1
# from the signature: the argument that was given is traced. jax.checkpoint counts from the
# arguments of the call, and so makes the one that was given static. jax.jit of 0.10.2 did the same
# as jax.checkpoint, so that an update of JAX moves what is static.
#
# Why it matters: a number that is static by accident compiles anew for each value and has no
# gradient of its own; a function wrapped in both transformations with the same settings means two
# things.
#
# Seen: static is the given argument: 0.10.2 jit yes, checkpoint yes; 0.12.0.1 jit no, checkpoint
# yes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp

static = {}


def product(x, scale, mode="linear"):
    static[name] = not isinstance(scale, jax.core.Tracer)
    return x * scale


for name, transform in {"jit": jax.jit, "checkpoint": jax.checkpoint}.items():
    transform(product, static_argnums=-1)(jnp.ones(3), 2.0)
print("jax", jax.__version__, "static:", static)
sys.exit(static != {"jit": sys.argv[1] == "old", "checkpoint": True})
PYTHON

# check PYTHON VERSION KIND
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6"
  JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" "$3"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2 old
check "$("$here/../.ci/find-python" newest)" 0.12.0.1 new
echo "as found"
