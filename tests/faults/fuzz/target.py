"""A fuzz target for atheris: coverage tells it which inputs are worth changing further.

    python -m tests.faults.fuzz.target KIND CORPUS [options of libFuzzer]

See the README beside it.
"""

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ramie.serialization", "ramie.checkpoint"]):
    from tests.faults import mutations, readers

Check = Callable[[bytes, Path], bool]
TARGETS: dict[str, tuple[mutations.Mutate, Check]] = {
    "msgpack": (mutations.of_msgpack, readers.check_file),
    "chunked": (mutations.of_msgpack, readers.check_file),
    "bytes": (mutations.of_msgpack, readers.check_bytes),
    "safetensors": (mutations.of_safetensors, readers.check_safetensors),
    "index": (mutations.of_json, readers.check_index),
    "manifest": (mutations.of_json, readers.check_manifest),
}
"""How the meaning of each kind of input is changed, and who has to be right about it."""

SEEDS = {"bytes": "msgpack"}
"""What a kind begins with, where it is not the file of that name."""


def main(arguments: list[str]) -> None:
    """Fuzz until stopped; an input that fails a check is written down by libFuzzer.

    Args:
      arguments: the program, a kind of input, a folder of inputs, and options of libFuzzer.
    """
    if len(arguments) < 3 or arguments[1] not in TARGETS:
        sys.exit(f"{__doc__}\nKIND is one of {', '.join(TARGETS)}.")
    kind, corpus = arguments[1], Path(arguments[2])
    structure, check = TARGETS[kind]
    folder = Path(tempfile.mkdtemp())
    seeds = readers.prepare(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "seed").write_bytes(seeds[SEEDS.get(kind, kind)])

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        """Change what an input means, where it means something; else its bytes."""
        generator = random.Random(seed)
        if generator.random() < 0.5:
            try:
                return structure(data, generator)[:most]
            except Exception:  # no reader of ours: the input is not well-formed
                pass
        return bytes(atheris.Mutate(data, most))

    atheris.Setup(
        [arguments[0], *arguments[2:]], lambda data: check(data, folder), custom_mutator=mutate
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
