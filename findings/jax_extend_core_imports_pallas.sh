#!/usr/bin/env bash
# JAX 0.12.0.1: importing jax.extend.core loads Pallas and the interpreters of its GPU and TPU forms.
#
# jax.extend.core is the public home of Jaxpr, Literal and Primitive. Its package imports all of its
# modules at once, so that whoever needs a Literal also loads jax.extend.pallas, which imports the
# Mosaic and Mosaic GPU interpreters, on a machine that has a CPU only. Nothing public offers the
# classes without it: jax.core dropped them.
#
# Why it matters: libraries that walk over jaxprs cannot have a light import. About two dozen
# modules and 10 ms come with the first class, a third of what a whole layer library costs.
#
# Seen: 0.12.0.1 -> 24 modules more than after `import jax.numpy`, 9 of them named pallas; the same
# 9 with 0.10.2 (25 in all).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys

import jax
import jax.numpy

before = set(sys.modules)
import jax.extend.core

loaded = set(sys.modules) - before
pallas = sorted(name for name in loaded if "pallas" in name)
print("jax", jax.__version__, len(loaded), "modules, with pallas in the name:", len(pallas))
assert not hasattr(jax.core, "Jaxpr"), "there is a lighter way now"
sys.exit(not {"jax.extend.pallas", "jax._src.pallas.mosaic_gpu"} <= set(pallas))
PYTHON

here=$(cd "$(dirname "$0")" && pwd)
"$("$here/../.ci/find-python" newest)" -m venv "$folder/environment"
"$folder/environment/bin/python" -m pip install --quiet --disable-pip-version-check \
  "jax==0.12.0.1" "jaxlib==0.12.0.1" "numpy>=2.4,<2.6"
JAX_PLATFORMS=cpu "$folder/environment/bin/python" "$folder/program.py"
echo "as found"
