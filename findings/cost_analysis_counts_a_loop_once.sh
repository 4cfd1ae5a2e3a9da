#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: cost_analysis() of a compiled program counts the body of a scan once.
#
# A chain of ten products of 64 x 64 matrices has 10 * 2 * 64**3 floating-point operations. Written
# out, compiled.cost_analysis()["flops"] says so. As jax.lax.scan of length 10 it says 2 * 64**3 and
# two more, whatever the length; the same holds for bytes accessed.
#
# Why it matters: models of many layers run as one scan. Utilisation ("MFU") and lower bounds of time
# that are computed from this number are wrong by the number of layers, without a word, and only
# after a model was changed from layers that are written out to a scan. The length stands in the
# compiled text (known_trip_count) on the CPU.
#
# Seen: written out 5242880; scanned 524290 for lengths 10 and 100; on both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy as jnp

SIZE = 64


def flops(function):
    compiled = jax.jit(function).lower(jnp.ones((SIZE, SIZE))).compile()
    return int(compiled.cost_analysis()["flops"])


def written_out(x):
    for _ in range(10):
        x = x @ x
    return x


def scanned(length):
    return lambda x: jax.lax.scan(lambda c, _: (c @ c, None), x, None, length=length)[0]


found = flops(written_out), flops(scanned(10)), flops(scanned(100))
print("jax", jax.__version__, found)
one = 2 * SIZE**3
sys.exit(not (found[0] == 10 * one and found[1] == found[2] and one <= found[1] < one + 100))
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
