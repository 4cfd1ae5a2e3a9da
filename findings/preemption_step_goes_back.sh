#!/usr/bin/env bash
# JAX 0.10.2 and 0.12.0.1: asked about an earlier step, JAX never says that it is time to leave.
#
# jax.experimental.multihost_utils.reached_preemption_sync_point(step) remembers the step that it was
# asked about last. After a SIGTERM it names the step after that one, and is true for that step alone.
# Asked about 5 and then about 3, it names 4, and is false for every step from 6 on. Asked about 5
# alone, it names 6.
#
# Why it matters: Orbax 0.12.8 asks so. When a save is done, CheckpointManager asks in its own thread
# (save_finalize) about the step of that save, which training has left behind by then. A job that gets
# SIGTERM just after that trains on until it is killed, and loses what it did since its last save.
# A manager whose reached_preemption asks in one thread only is not hit.
#
# Seen: [6] after 5, [] after 5 and 3, on both versions.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import os
import signal
import socket
import sys
import time

import jax
from jax.experimental import multihost_utils

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
jax.distributed.initialize(address, 1, 0)
for step in map(int, sys.argv[1].split(",")):
    assert not multihost_utils.reached_preemption_sync_point(step)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(5)
print([step for step in range(6, 12) if multihost_utils.reached_preemption_sync_point(step)])
jax.distributed.shutdown()
PYTHON

# check PYTHON VERSION
check() {
  "$1" -m venv "$folder/$2"
  "$folder/$2/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$2" "jaxlib==$2" "numpy>=2.4,<2.6"
  one=$(JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" 5)
  both=$(JAX_PLATFORMS=cpu "$folder/$2/bin/python" "$folder/program.py" 5,3)
  echo "jax $2: $one after 5, $both after 5 and 3"
  test "$one" = "[6]" && test "$both" = "[]"
}

here=$(cd "$(dirname "$0")" && pwd)
check "$("$here/../.ci/find-python" 3.11)" 0.10.2
check "$("$here/../.ci/find-python" newest)" 0.12.0.1
echo "as found"
