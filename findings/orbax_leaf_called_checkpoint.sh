#!/usr/bin/env bash
# orbax-checkpoint 0.12.8: a tree with a leaf called "checkpoint" is saved, and cannot be restored.
#
# With use_ocdbt=False each leaf is a folder of its name. A folder called "checkpoint" at the top is
# then taken for the file in which the first releases kept the whole tree, and reading ends in
# IsADirectoryError. The same tree without that leaf, or with OCDBT, comes back.
#
# Why it matters: saving gives no hint. The loss shows on the day the checkpoint is needed, though
# all numbers are there.
#
# Seen: IsADirectoryError for the name "checkpoint" without OCDBT; equal arrays in the other cases.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import numpy as np
import orbax.checkpoint as ocp

found = {}
for use_ocdbt in (False, True):
    for name in ("checkpoint", "weights"):
        path = f"{sys.argv[1]}/{name}_{use_ocdbt}"
        tree = {name: np.arange(2.0), "bias": np.ones(3)}
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=use_ocdbt)) as checkpointer:
            checkpointer.save(path, tree)
            try:
                read = checkpointer.restore(path)
                outcome = all(np.array_equal(read[key], tree[key]) for key in tree)
            except IsADirectoryError as error:
                outcome = type(error).__name__
        found[name, use_ocdbt] = outcome
print("orbax", ocp.__version__, found)
expected = {("checkpoint", False): "IsADirectoryError", ("weights", False): True}
expected |= {("checkpoint", True): True, ("weights", True): True}
sys.exit(found != expected)
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" 3.11)" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  "orbax-checkpoint==0.12.8" "jax==0.10.2" "jaxlib==0.10.2" "numpy>=2.4,<2.6"
JAX_PLATFORMS=cpu "$folder/env/bin/python" "$folder/program.py" "$folder"
echo "as found"
