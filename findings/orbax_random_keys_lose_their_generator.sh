#!/usr/bin/env bash
# orbax-checkpoint 0.12.8 with JAX 0.10.2: JaxRandomKeySave takes every key for one of the default.
#
# The item for random keys does not look at the generator of a key (jax.random.key(0, impl=...)). It
# wraps the key's numbers in the generator that is the default. One of another size cannot be saved
# (a TypeError about shapes), also where the default is "rbg" and the key is of "threefry2x32"; a key
# of "unsafe_rbg" comes back as one of "rbg", whose stream is another, without a word.
#
# Why it matters: programs choose a generator for each key, such as "rbg" for dropout, and leave the
# default as it is. They cannot save these keys with the item that is made for keys; where sizes
# agree, a run goes on with other random numbers than it would have had.
#
# Seen: TypeError for rbg under threefry2x32, and the other way round; rbg for a key of unsafe_rbg
# under rbg; the right generator where it is the default.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import orbax.checkpoint as ocp

place = sys.argv[1]


def there_and_back(number, impl, default):
    path = f"{place}/{number}"
    jax.config.update("jax_default_prng_impl", default)
    with ocp.Checkpointer(ocp.JaxRandomKeyCheckpointHandler()) as checkpointer:
        try:
            checkpointer.save(path, args=ocp.args.JaxRandomKeySave(jax.random.key(0, impl=impl)))
            return str(jax.random.key_impl(checkpointer.restore(path)))
        except TypeError as error:
            return type(error).__name__


cases = {
    ("rbg", "threefry2x32"): "TypeError",
    ("threefry2x32", "rbg"): "TypeError",
    ("unsafe_rbg", "rbg"): "rbg",
    ("rbg", "rbg"): "rbg",
    ("threefry2x32", "threefry2x32"): "threefry2x32",
}
found = {case: there_and_back(number, *case) for number, case in enumerate(cases)}
print("jax", jax.__version__, "orbax", ocp.__version__, found)
sys.exit(found != cases)
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" 3.11)" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  "orbax-checkpoint==0.12.8" "jax==0.10.2" "jaxlib==0.10.2" "numpy>=2.4,<2.6"
JAX_PLATFORMS=cpu "$folder/env/bin/python" "$folder/program.py" "$folder"
echo "as found"
