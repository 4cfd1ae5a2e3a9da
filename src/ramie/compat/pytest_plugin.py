"""Load with `pytest -p ramie.compat.pytest_plugin`: the tests' `import flax` means Ramie.

A plugin named on the command line is imported before any conftest or test file, in every xdist
worker too, hence early enough.
"""

from ramie.compat import install

install()
