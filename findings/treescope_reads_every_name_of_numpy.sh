#!/usr/bin/env bash
# treescope 0.1.10 on NumPy 2.5: rendering anything at all warns of numpy.char.chararray.
#
# To find short names for functions and classes, treescope looks up every public name of NumPy and its
# modules when it renders for the first time. NumPy 2.5 gives a DeprecationWarning when
# numpy.char.chararray is read. So `treescope.render_to_text([1, 2])` ends in an error where warnings
# are errors, as in test-suites, and shows a warning about a class that the program never used
# elsewhere.
#
# Why it matters: treescope is how notebooks show models (Penzai, Flax NNX). The rendering itself is
# right. `warnings.filterwarnings("ignore", "The chararray class")` around the call is enough, and it
# has to be around the first call only.
#
# Seen: NumPy 2.4.4 no warning; NumPy 2.5.0 three places of treescope warn; the second call does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat > "$folder/program.py" <<'PYTHON'
import sys
import warnings

import numpy
import treescope


def warned():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        text = treescope.render_to_text([1, 2])
    assert text == "[1, 2]", text
    return any("chararray" in str(warning.message) for warning in caught)


found = warned(), warned()
print("numpy", numpy.__version__, found)
sys.exit(found != (numpy.__version__ >= "2.5", False))
PYTHON

# check NUMPY
check() {
  "$python" -m venv "$folder/$1"
  "$folder/$1/bin/python" -m pip install --quiet --disable-pip-version-check \
    "treescope==0.1.10" "numpy==$1"
  "$folder/$1/bin/python" "$folder/program.py"
}

python=$("$(dirname "$0")/../.ci/find-python" newest)
check 2.4.4
check 2.5.0
echo "as found"
