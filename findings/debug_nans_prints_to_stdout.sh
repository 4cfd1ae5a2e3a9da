#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: jax_debug_nans writes its notice to standard output.
#
# When a compiled function returns a NaN under jax.debug_nans(True), JAX runs it again without
# jax.jit and says so: "Invalid nan value encountered in the output of a jax.jit function. Calling
# the de-optimized version." The sentence is printed, on standard output and twice. It is no log
# message and no warning, so neither logging nor warnings filters it.
#
# Why it matters: the output of a program that is read by another one (JSON, a table, a doctest) has
# lines in it that the program never wrote, although it catches the FloatingPointError.
#
# Seen with both versions: two lines on standard output, none on standard error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import contextlib
import io
import sys

import jax
import jax.numpy as jnp

out, err = io.StringIO(), io.StringIO()
caught = False
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), jax.debug_nans(True):
    try:
        jax.jit(jnp.log)(jnp.full(2, -1.0))
    except FloatingPointError:
        caught = True
found = (caught, out.getvalue().count("Calling the de-optimized version"), len(err.getvalue()))
print("jax", jax.__version__, "caught, lines on stdout, characters on stderr:", found)
sys.exit(found != (True, 2, 0))
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
