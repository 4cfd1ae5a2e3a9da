"""Run code written for Flax on Ramie, unchanged.

`install()` makes `import flax`, the paths below it, and `flax_extra.checkpoint` resolve to Ramie's
modules. Nothing happens before that, and `uninstall()` takes it back. From outside a program:
`python -m ramie.compat SCRIPT ARGS`, `python -m ramie.compat -m MODULE ARGS`, and
`pytest -p ramie.compat.pytest_plugin`.
"""

from ramie.compat.importer import install as install
from ramie.compat.importer import is_installed as is_installed
from ramie.compat.importer import uninstall as uninstall

__all__ = ["install", "is_installed", "uninstall"]
