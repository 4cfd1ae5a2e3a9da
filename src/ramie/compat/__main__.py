"""`python -m ramie.compat`: run a script or a module with `flax` meaning Ramie."""

import os
import runpy
import sys

from ramie.compat import install

USAGE = """\
usage: python -m ramie.compat SCRIPT [ARGS ...]
       python -m ramie.compat -m MODULE [ARGS ...]

Runs a Python program as `python` would, except that `import flax` gives it Ramie.
"""


def main(arguments: list[str]) -> int:
    """Run the program named by the arguments as `__main__`.

    Args:
        arguments: what follows `python -m ramie.compat`; the rest after the program goes to it.

    Returns:
        The exit status when there was nothing to run; a program that runs sets its own.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if not arguments or arguments == ["-m"] or (arguments[0] != "-m" and arguments[0][:1] == "-"):
        sys.stderr.write(USAGE)
        return 2
    if arguments[0] == "-m":
        install()
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    script = arguments[0]
    if not os.path.exists(script):
        sys.stderr.write(f"python -m ramie.compat: no such file: {script!r}\n")
        return 2
    install()
    sys.argv = list(arguments)
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
