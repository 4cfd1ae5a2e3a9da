#!/usr/bin/env bash
# Flax 0.12.12 on JAX 0.12.0.1: which uses of an experimental hijax variable work, and which raise.
#
# nnx.Param(x, hijax=True) is a value of a high-level type: jax.jit and jax.grad take it as it is. But
# - with ref=True, the setting that the error of a refused update advises, reading it inside jax.jit
#   is a ValueError about a JaxprInputEffect, raised by JAX;
# - nnx.jit over one is an AttributeError of the tracer (_can_update), jax.vmap one of the type
#   (AbstractVariable has no shape);
# - both spellings of the documented switch of nnx.with_vars fail: is_mutable is an unknown keyword,
#   mutable an AttributeError of the array.
#
# Why it matters: programs that follow the advice of the error, or the documentation of with_vars, do
# not run, and a library that offers hijax variables cannot take Flax as the judge of these cases.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import flax
import jax
import jax.numpy as jnp
from flax import nnx

plain = nnx.Param(jnp.float32(3.0), hijax=True)
kept = nnx.Param(jnp.float32(3.0), hijax=True, ref=True)
rows = nnx.Param(jnp.arange(3.0), hijax=True)
uses = {
    "jax.jit": lambda: jax.jit(lambda v: v[...])(plain),
    "jax.grad": lambda: jax.grad(lambda v: v[...] ** 2)(plain)[...],
    "a ref, outside": lambda: kept[...],
    "a ref, jax.jit": lambda: jax.jit(lambda v: v[...])(kept),
    "nnx.jit": lambda: nnx.jit(lambda v: v[...])(plain),
    "jax.vmap": lambda: jax.vmap(lambda v: v[...])(rows),
    "with_vars(is_mutable=)": lambda: nnx.with_vars(plain, is_mutable=False),
    "with_vars(mutable=)": lambda: nnx.with_vars(plain, mutable=False),
}
found = {}
for name, use in uses.items():
    try:
        found[name] = float(use())
    except Exception as error:
        found[name] = type(error).__name__
        print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
    else:
        print(f"{name}: {found[name]}")
print("flax", flax.__version__, "jax", jax.__version__)
expected = [3.0, 6.0, 3.0, "ValueError", *["AttributeError"] * 2, "TypeError", "AttributeError"]
sys.exit(list(found.values()) != expected)
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" newest)" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "flax==0.12.12" "jax==0.12.0.1" "jaxlib==0.12.0.1" "numpy>=2.4,<2.6"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/program.py"
echo "as found"
