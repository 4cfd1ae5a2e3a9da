"""Run the code cells of one notebook with one library, in a process of its own.

Usage: ``python -m tools.peer_examples.cells LIBRARY NOTEBOOK FILE``. A list with what each cell
printed and which error ended it goes to FILE.
"""

import ast
import contextlib
import importlib.util
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import Any

from tools.peer_examples import mocks
from tools.peer_examples.child import take
from tools.peer_examples.held import total


def sources(notebook: Path) -> list[str]:
    """Return the code cells, without the lines that only a notebook understands."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ["\n".join(map(_plain, text.splitlines())) for text in code]


def _plain(line: str) -> str:
    """Put `pass` in the place of a shell command or a magic, where it stands."""
    words = line.lstrip()
    magic = words.startswith("!") or words.startswith("%")
    return line[: len(line) - len(words)] + "pass" if magic else line


def execute(source: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run a cell; its last expression is printed, as notebooks do."""
    printed, error = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            body = ast.parse(source)
            last = body.body.pop() if body.body and isinstance(body.body[-1], ast.Expr) else None
            exec(compile(body, "<cell>", "exec"), names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
                if value is not None:
                    print(repr(value))
    except Exception as caught:
        traceback.print_exc()
        error = f"{type(caught).__name__}: {(str(caught).strip().splitlines() or [''])[0]}"
    return {"printed": printed.getvalue(), "error": error}


class _Digits:
    """Images and labels that are made up, with what notebooks ask of a data set."""

    def __init__(self, size: int) -> None:
        import numpy as np

        draw = np.random.default_rng(0)
        self.columns = {
            "image": list(draw.integers(0, 256, (size, 28, 28), np.uint8)),
            "label": list(draw.integers(0, 10, size)),
        }

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}

    def shuffle(self, **_: Any) -> "_Digits":
        """Return the same: it is drawn at random."""
        return self


def _data(notebook: str) -> contextlib.AbstractContextManager[None]:
    """Serve made-up digits in the place of data sets that would be downloaded."""
    if "load_dataset" in notebook and importlib.util.find_spec("datasets") is None:
        stand_in: Any = types.ModuleType("datasets")
        stand_in.load_dataset = lambda *_, **__: {"train": _Digits(7000), "test": _Digits(64)}
        sys.modules["datasets"] = stand_in
    if "tensorflow_datasets" in notebook and importlib.util.find_spec("tensorflow_datasets"):
        return mocks.tfds_data(96)
    return contextlib.nullcontext()


def main() -> None:
    """Do as the command line says."""
    library, notebook, out = sys.argv[1:]
    os.environ["MPLBACKEND"] = "agg"
    take(library)
    import numpy as np

    random.seed(0)
    np.random.seed(0)
    text = Path(notebook).read_text(encoding="utf-8")
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    done: list[dict[str, Any]] = []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, _data(text):
        os.chdir(folder)
        for source in sources(Path(notebook)):
            done.append(execute(source, module.__dict__))
            done[-1]["held"] = total(module.__dict__)
            told = {"cells": done, "seconds": time.perf_counter() - start}
            Path(out).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
