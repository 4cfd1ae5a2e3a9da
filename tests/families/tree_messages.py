"""How messages about trees, state dicts, flags and files begin."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from tests.families.message_row import Row, X

Pair = namedtuple("Pair", "left right")


def _point(lib: Any) -> Any:
    body = {"__annotations__": {"x": int, "y": int}, "__module__": __name__}
    return lib.struct.dataclass(type("Point", (), body))(1, 2)


TREES = {
    "frozen": Row(
        lambda lib: lib.core.freeze({"a": 1}).__setitem__("b", 2),
        "ValueError",
        "FrozenDict is immutable.",
    ),
    "no frozen dict": Row(
        lambda lib: lib.core.copy(3, {}),
        "TypeError",
        "Expected FrozenDict or dict, got <class 'int'>",
    ),
    "missing field": Row(
        lambda lib: lib.serialization.from_state_dict({"a": [_point(lib)]}, {"a": {"0": {"x": 1}}}),
        "ValueError",
        "Missing field y in state dict while restoring an instance of Point, at path ./a/0",
    ),
    "unknown field": Row(
        lambda lib: lib.serialization.from_state_dict(_point(lib), {"x": 1, "y": 2, "z": 3}),
        "ValueError",
        'Unknown field(s) "z" in state dict while restoring an instance of Point at path .',
    ),
    "list": Row(
        lambda lib: lib.serialization.from_state_dict([1, 2], {"0": 1}),
        "ValueError",
        "The size of the list and the state dict do not match, got 2 and 1 at path .",
    ),
    "dictionary": Row(
        lambda lib: lib.serialization.from_state_dict({"a": 1}, {"b": 1}),
        "ValueError",
        "The target dict keys and state dict keys do not match, target dict contains keys {'a'} "
        "which are not present in state dict at path .",
    ),
    "named tuple": Row(
        lambda lib: lib.serialization.from_state_dict(Pair(1, 2), {"left": 1}),
        "ValueError",
        "The field names of the state dict and the named tuple do not match, got {'left'} and ",
    ),
    "leaf": Row(
        lambda lib: lib.serialization.to_bytes({"a": object()}),
        "TypeError",
        "can not serialize 'object' object",
    ),
    "keys": Row(
        lambda lib: lib.serialization.to_state_dict({1: 2, "1": 3}),
        "ValueError",
        "Dict keys do not have a unique string representation: ",
    ),
    "handler": Row(
        lambda lib: lib.serialization.register_serialization_state(
            dict, lambda x: {}, lambda x, s: x
        ),
        "ValueError",
        'a serialization handler for "dict" is already registered',
    ),
    "no dictionary to flatten": Row(
        lambda lib: lib.traverse_util.flatten_dict(3),
        "TypeError",
        "expected (frozen)dict; got <class 'int'>",
    ),
    "no dictionary to nest": Row(
        lambda lib: lib.traverse_util.unflatten_dict(3),
        "TypeError",
        "input is not a dict; it is a <class 'int'>",
    ),
    "no parameters": Row(
        lambda lib: list(lib.traverse_util.ModelParamTraversal(lambda *_: True).iterate(3)),
        "ValueError",
        "Can only traverse a flax Model instance or a nested dict, not <class 'int'>",
    ),
    "too many values": Row(
        lambda lib: lib.traverse_util.t_identity.set([1, 2], {}),
        "ValueError",
        "Too many values provided",
    ),
    "too few values": Row(
        lambda lib: lib.traverse_util.t_identity.set([], {}),
        "ValueError",
        "Not enough values provided",
    ),
    "iteration of a cursor": Row(
        lambda lib: list(lib.cursor.cursor({"a": 1})),
        "NotImplementedError",
        "__iter__ method only implemented for tuples and lists, not type <class 'dict'>",
    ),
    "nothing found": Row(
        lambda lib: lib.cursor.cursor({"a": X}).find(lambda p, v: False),
        "CursorFindError",
        "No object found given the conditions of the cond_fn.",
    ),
    "two found": Row(
        lambda lib: lib.cursor.cursor({"a": [1], "b": [2]}).find(lambda p, v: isinstance(v, list)),
        "CursorFindError",
        "More than one object found given the conditions of the cond_fn. The first two objects "
        "found have the following paths: ['a'] and ['b'] ",
    ),
    "flag": Row(
        lambda lib: lib.configurations.config.update("no_flag", True),
        "LookupError",
        "Unrecognized config option: no_flag",
    ),
    "step": Row(
        lambda lib: lib.training.checkpoints.restore_checkpoint("no_folder", None, step=3),
        "ValueError",
        "Matching checkpoint not found: ",
    ),
}


def _made(name: str, *args: Any) -> Callable[[Any], Any]:
    """A program that raises an error of the catalogue, for mistakes that nothing here can make."""

    def program(lib: Any) -> Any:
        raise getattr(lib.errors, name)(*args)

    return program


CATALOGUE = {
    "MultipleMethodsCompactError": Row(
        _made("MultipleMethodsCompactError"),
        "MultipleMethodsCompactError",
        "Only one method per class can be @compact",
    ),
    "JaxTransformError": Row(
        _made("JaxTransformError"),
        "JaxTransformError",
        "Jax transforms and Flax models cannot be mixed",
    ),
    "AlreadyExistsError": Row(
        _made("AlreadyExistsError", "a/b"),
        "AlreadyExistsError",
        'Trying overwrite an existing file: "a/b".',
    ),
    "InvalidCheckpointError": Row(
        _made("InvalidCheckpointError", "a/b", 3),
        "InvalidCheckpointError",
        'Trying to save an outdated checkpoint at step: "3" and path: "a/b".',
    ),
    "MPACheckpointingRequiredError": Row(
        _made("MPACheckpointingRequiredError", "a/b", 3),
        "MPACheckpointingRequiredError",
        'Checkpoint failed at step: "3" and path: "a/b"',
    ),
    "MPARestoreTargetRequiredError": Row(
        _made("MPARestoreTargetRequiredError", "a/b", 3),
        "MPARestoreTargetRequiredError",
        'Restore checkpoint failed at step: "3" and path: "a/b"',
    ),
    "MPARestoreDataCorruptedError": Row(
        _made("MPARestoreDataCorruptedError", 3, "a/b"),
        "MPARestoreDataCorruptedError",
        'Restore checkpoint failed at step: "3" on multiprocess array at ',
    ),
    "TraverseTreeError": Row(
        _made("TraverseTreeError", None, None),
        "TraverseTreeError",
        "Both update_fn and cond_fn are None. Exactly one of them must be None.",
    ),
}
