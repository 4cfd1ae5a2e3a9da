#!/usr/bin/env bash
# qwix 0.1.8: while a quantised Linen model runs, functions of JAX are themselves and not themselves.
#
# To see what a model computes, qwix gives jax.lax.dot_general and others another code object for
# the length of a call. `jax.lax.dot_general is dot_general` stays true, copies of the function that
# were taken at import change with it, and only its __code__ tells.
#
# Why it matters: whoever keeps compiled programs, traces or proofs of what a function of JAX
# computes, and guards them by its identity, serves the unquantised program without a word.
#
# Seen: inside of the call the function is the same object with another __code__, outside with its
# own again.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import qwix

shipped, code = jax.lax.dot_general, jax.lax.dot_general.__code__
seen = {}


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        seen["same object"] = jax.lax.dot_general is shipped
        seen["same code"] = jax.lax.dot_general.__code__ is code
        return nn.Dense(2)(x)


x = jnp.ones((1, 3))
rule = qwix.QuantizationRule(module_path=".*", weight_qtype="int8", act_qtype="int8")
model = qwix.quantize_model(Model(), qwix.QtProvider([rule]))
model.init(jax.random.key(0), x)
print(seen, "own code again:", shipped.__code__ is code)
sys.exit(seen != {"same object": True, "same code": False} or shipped.__code__ is not code)
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" 3.11)" -m venv "$folder/environment"
"$folder/environment/bin/python" -m pip install --quiet --disable-pip-version-check \
  "qwix==0.1.8" "flax==0.12.8" "jax==0.10.2" "jaxlib==0.10.2"
JAX_PLATFORMS=cpu "$folder/environment/bin/python" "$folder/program.py"
echo "as found"
