#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: Ctrl-C during a garbage collection is lost.
#
# When it is imported, JAX puts a function of its own into gc.callbacks. Python calls such functions
# before and after each collection, and prints and drops what they raise. A signal that comes during
# the collection is answered by the first Python code after it, which is this function: the
# KeyboardInterrupt of Ctrl-C, or that of any handler that raises, ends there, as "Exception ignored in".
# Without JAX there is no such function, and the exception comes out of the code that was running.
#
# Why it matters: programs with large models, or that draw pictures, are in collections for a good part
# of their time. A job that answers SIGTERM by an exception trains on, and is killed without having
# saved. A handler that only notes the signal, and a loop that looks, is not hit.
#
# Seen: "raised" without JAX, "lost" with it, on both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import gc
import signal
import sys

if sys.argv[1] == "jax":
    import jax  # noqa: F401

objects = [[i] for i in range(4_000_000)]  # a collection has to look at all of them
gc.disable()
unraisable = []
sys.unraisablehook = unraisable.append
signal.signal(signal.SIGALRM, signal.default_int_handler)


def collect():
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    gc.collect()
    signal.setitimer(signal.ITIMER_REAL, 0)


try:
    collect()
except KeyboardInterrupt:
    print("raised")
else:
    print("lost" if [x for x in unraisable if x.exc_type is KeyboardInterrupt] else "no signal")
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6"
  without=$(JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" alone)
  with=$(JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" jax)
  echo "jax $2: $without without it, $with with it"
  test "$without" = "raised" && test "$with" = "lost"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
