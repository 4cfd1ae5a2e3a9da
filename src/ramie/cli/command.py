"""What to type to run the command that is running, in the shell that it was started from."""

import os
import re
import shlex
import shutil
import sys

__all__ = ["command_line", "command_name", "runnable"]

_NAME = "ramie"


def command_name() -> str:
    """Return how the command was called, quoted for a shell, so that a hint runs as it stands.

    That is `ramie` where a shell finds this very program under the name, the path that was typed
    where it does not, as in `.venv/bin/ramie`, and `python -m ramie` where it was started so.
    """
    started = sys.argv[0]
    if os.path.basename(started) == "__main__.py" and "-m" in sys.orig_argv:
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
        if module.partition(".")[0] == _NAME:
            return shlex.join([sys.orig_argv[0], "-m", module])
    found = shutil.which(_NAME)
    if os.path.basename(started) == _NAME and os.path.isfile(started):
        return _NAME if found and os.path.samefile(found, started) else shlex.quote(started)
    # Another program called `main`.
    if found and _beside_python(found):
        return _NAME
    return shlex.join([sys.executable, "-m", _NAME])


def command_line(*words: str | os.PathLike[str]) -> str:
    """Return a whole command with its arguments, quoted for a shell.

    Example:
      >>> from ramie.cli.command import command_line
      >>> command_line("ckpt", "ls", "my run").endswith("ramie ckpt ls 'my run'")
      True
    """
    return f"{command_name()} {shlex.join(os.fspath(word) for word in words)}"


def runnable(text: str) -> str:
    """Let the commands that a message names be those of this installation."""
    text = re.sub(r"`ramie (?=[a-zA-Z])", lambda _: f"`{command_name()} ", text)
    found = shutil.which("pip")
    if found and _beside_python(found):
        return text
    python = shlex.quote(sys.executable)
    return re.sub(r"(?<![\w-] )\bpip install ", lambda _: f"{python} -m pip install ", text)


def _beside_python(program: str) -> bool:
    return os.path.abspath(os.path.dirname(program)) == os.path.dirname(sys.executable)
