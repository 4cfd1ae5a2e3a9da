#!/usr/bin/env bash
# Orbax 0.12.8: the metadata of a directory are empty if an array was saved with a kind of sharding
# that JAX has given up, although the arrays can be read.
#
# `_sharding` in a directory names the sharding of each array that was saved. PositionalSharding was
# removed from JAX; directories that name it are restored into NumPy arrays, or by shardings of one's
# own, as any other. But PyTreeCheckpointHandler.metadata(), which tells shapes and dtypes without
# reading arrays, raises "jax.sharding.PositionalSharding has been deprecated", and the metadata() of
# a checkpointer catches that: `item_metadata` is None, as if nothing had been saved. A program that
# asks what is in a directory before it restores is misled.
#
# Seen with JAX 0.10.2 and 0.12.0.1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding, PartitionSpec

path = pathlib.Path(sys.argv[1]) / f"saved-{jax.__version__}"
rows = NamedSharding(jax.make_mesh((1,), ("x",)), PartitionSpec("x"))
page = path / "_sharding"
if not path.exists():  # the first run; another process reads, which has nothing in its caches
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, {"a": jax.device_put(jnp.arange(4.0), rows)})
    page.write_text(page.read_text().replace("NamedSharding", "PositionalSharding"))
    sys.exit()
found = {}
with ocp.PyTreeCheckpointer() as checkpointer:
    how = {"a": ocp.RestoreArgs(restore_type=np.ndarray)}
    found["restore"] = float(checkpointer.restore(path, restore_args=how)["a"].sum())
    found["of the checkpointer"] = checkpointer.metadata(path).item_metadata
try:
    ocp.PyTreeCheckpointHandler().metadata(path)
    found["of the handler"] = "read"
except ValueError as error:
    found["of the handler"] = type(error).__name__
print("jax", jax.__version__, "orbax", ocp.__version__, found)
expected = {"restore": 6.0, "of the checkpointer": None, "of the handler": "ValueError"}
sys.exit(found != expected)
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6" "orbax-checkpoint==0.12.8"
  for _ in 1 2; do
    JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" "$folder" 2> "$folder/stderr" \
      || { cat "$folder/stderr"; return 1; }
  done
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
