#!/usr/bin/env bash
# Flax 0.12.12: rotary positions in nnx.MultiHeadAttention, while decoding and given by hand.
#
# With attention_fn=partial(nnx.dot_product_attention_with_rope, rope=nnx.RoPE()):
# - decoding step by step gives other numbers than the whole causal sequence, without a word: every
#   query is rotated as if it stood at position 0, while keys are rotated by their place in the cache.
#   Without RoPE the same comparison agrees to rounding, so the program is right.
# - input_positions of shape [length] or [batch, length], which the layer documents, is a ValueError
#   of vmap ("inconsistent sizes"): the positions are mapped over the heads with the values.
#
# Why it matters: a model that is trained with RoPE generates text by decoding; here it runs and its
# logits are wrong, and the argument that would set the position right cannot be used.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import functools
import sys

import flax
import jax
import jax.numpy as jnp
from flax import nnx

LENGTH, SIZE = 5, 8
x = jax.random.normal(jax.random.key(1), (2, LENGTH, SIZE))
mask = nnx.make_causal_mask(jnp.ones((2, LENGTH)))


def layer(attention_fn, decode):
    return nnx.MultiHeadAttention(
        2, SIZE, attention_fn=attention_fn, decode=decode, rngs=nnx.Rngs(0)
    )


def error_of_decoding(attention_fn):
    """The largest difference between decoding and the whole sequence."""
    whole = layer(attention_fn, decode=False)(x, mask=mask)
    decoder = layer(attention_fn, decode=True)
    decoder.init_cache(x.shape)
    steps = [decoder(x[:, i : i + 1]) for i in range(LENGTH)]
    return float(jnp.abs(jnp.concatenate(steps, 1) - whole).max())


rotated = functools.partial(nnx.dot_product_attention_with_rope, rope=nnx.RoPE())
plain, with_rope = map(error_of_decoding, (nnx.dot_product_attention, rotated))
print(f"flax {flax.__version__}, jax {jax.__version__}")
print(f"decoding against the whole sequence: {plain:.1e} without RoPE, {with_rope:.1e} with it")

refused = 0
for positions in (jnp.arange(LENGTH), jnp.tile(jnp.arange(LENGTH), (2, 1))):
    try:
        layer(rotated, decode=False)(x, mask=mask, input_positions=positions)
    except ValueError as error:
        refused += 1
        print(f"input_positions {positions.shape}: ValueError: {str(error).splitlines()[0][:80]}")
sys.exit(not (plain < 1e-5 and with_rope > 1e-2 and refused == 2))
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" newest)" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  "flax==0.12.12" "jax==0.12.0.1" "jaxlib==0.12.0.1" "numpy>=2.4,<2.6"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/program.py"
echo "as found"
