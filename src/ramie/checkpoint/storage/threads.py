"""Starting threads of a save or a restore, also where the interpreter is about to end."""

import threading

__all__ = ["started"]


def started(thread: threading.Thread) -> bool:
    """Start a thread; tell whether that was possible.

    Python 3.12.0 and 3.12.1 start none once the interpreter ends, although a save in the background
    may still run then, and no system starts any number of them.
    """
    try:
        thread.start()
    except RuntimeError:
        return False
    return True
