"""Every switch of Ramie in one table: name, default, and what it does.

A flag called ``flax_x`` starts from the environment variable ``RAMIE_X``, else ``FLAX_X``, else
its default; ``nnx_x`` from ``RAMIE_NNX_X``, else ``NNX_X``; ``ramie_x``, which Flax does not know,
from ``RAMIE_X``. While a program runs:

    >>> from ramie.configurations import config
    >>> config.update("flax_return_frozendict", True)
    >>> config.flax_return_frozendict
    True
    >>> with config.temp_flip_flag("return_frozendict", False):
    ...     config.flax_return_frozendict
    False
    >>> config.update("flax_return_frozendict", False)

Flags belong to the process, not to a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

__all__ = [
    "FLAGS",
    "Config",
    "Flag",
    "FlagHolder",
    "bool_flag",
    "choice_flag",
    "config",
    "define_bool_state",
    "int_flag",
    "static_bool_env",
    "static_int_env",
]

V = TypeVar("V", bool, "int | None", str)

_TRUE = frozenset(("y", "yes", "t", "true", "on", "1"))
_FALSE = frozenset(("n", "no", "f", "false", "off", "0"))


class Flag(NamedTuple):
    """One row of the table.

    Args:
        name: The attribute of `config`.
        default: Its value where the environment says nothing; a bool, an int or None, or a word.
        effect: What it does.
        choices: The words it may be, where it is a word.
    """

    name: str
    default: bool | int | str | None
    effect: str
    choices: tuple[str, ...] = ()


FLAGS = (
    Flag(
        "flax_filter_frames",
        True,
        "Leave the library's own frames out of tracebacks; read when traceback_util is imported.",
    ),
    Flag(
        "flax_profile",
        True,
        "Run the methods of modules under jax.named_scope, so that profiles show module names.",
    ),
    Flag(
        "flax_use_orbax_checkpointing",
        False,
        "Let training.checkpoints write Orbax directories in place of msgpack files.",
    ),
    Flag(
        "flax_preserve_adopted_names",
        False,
        "Modules that are adopted from outside keep the name they have.",
    ),
    Flag(
        "flax_return_frozendict",
        False,
        "init, apply and their kin return FrozenDicts where they return dicts by default.",
    ),
    Flag(
        "flax_fix_rng_separator",
        False,
        "Put a separator between the parts of a path that is folded into a random key.",
    ),
    Flag(
        "flax_use_flaxlib",
        False,
        "Accepted and without effect: there is no compiled companion library.",
    ),
    Flag(
        "flax_fast_init",
        True,
        "init traces the forward pass instead of running it, and draws parameters of all shapes "
        "with one program; else it runs everything, operation by operation.",
    ),
    Flag("flax_array_ref", False, "nnx Variables keep their value in a mutable array reference."),
    Flag("flax_pytree_module", True, "nnx Modules are pytrees unless a class says otherwise."),
    Flag(
        "flax_max_repr_depth",
        None,
        "How deep the repr of nested nnx objects goes; None for all the way.",
    ),
    Flag(
        "flax_always_shard_variable",
        True,
        "An nnx Variable with sharding metadata places its value accordingly when it is made.",
    ),
    Flag("flax_hijax_variable", False, "nnx Variables use JAX's experimental high-level types."),
    Flag(
        "nnx_graph_mode",
        True,
        "nnx functions treat modules as graphs with shared nodes; else as plain trees.",
    ),
    Flag(
        "nnx_graph_updates",
        True,
        "In graph mode, changes of structure inside a transform reach the caller.",
    ),
    Flag(
        "nnx_sow_capture_noop",
        False,
        "sow and perturb of nnx Modules do nothing where nobody captures what they store.",
    ),
    Flag(
        "ramie_compiled_layers",
        "proven",
        "Which layers run as one compiled program per call outside jit: none of them (off), those "
        "of which every bit was proven to stay (proven), or all, which is fastest and may change "
        "last bits as jax.jit does (all).",
        ("off", "proven", "all"),
    ),
    Flag(
        "ramie_exact_variance",
        False,
        "Norms take the variance in a second pass, as with use_fast_variance=False in each layer. "
        "Their default loses it where the mean is some hundred deviations and more. Last bits "
        "change.",
    ),
    Flag(
        "ramie_share_traces",
        False,
        "Under jax.jit (models of NNX: nnx.jit), trace modules that agree in class, fields, shapes "
        "and state once, and call the program.",
    ),
    Flag(
        "ramie_donate",
        "named",
        "Which buffers nnx.jit lets JAX reuse: those of the arguments that are named in a call of "
        "it; or, auto, where none are named, those of variables that the function replaces and "
        "nothing else can reach.",
        ("named", "auto"),
    ),
    Flag(
        "ramie_keep_proofs",
        True,
        "Keep on disk which fast ways were found to give the bits of plain JAX, beside JAX's "
        "compiled programs or in the user's cache folder; else each process finds out anew.",
    ),
)


class FlagHolder(Generic[V]):
    """One flag as an object, so that code can name it without a string.

    Args:
        name: Name of the flag.
        help: What it does.
    """

    def __init__(self, name: str, help: str) -> None:
        self.name = name
        self.__name__ = name.removeprefix("flax")
        self.__doc__ = f"The flag `{name}`: {help}"

    @property
    def value(self) -> V:
        """The value of the flag now."""
        return config._values[self.name]

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"A FlagHolder has no truth value of its own; write {self.name}.value, or "
            f"config.{self.name}."
        )

    # A holder is also the class attribute of Config. It defines no __set__, so the value in the
    # instance's own dictionary goes first: reading a flag runs no Python code.
    def __get__(self, instance: Config | None, owner: type[Config]) -> Any:
        return self if instance is None else instance._values[self.name]


class Config:
    """The flags as attributes; one instance, `config`, serves the whole library."""

    flax_filter_frames: bool
    flax_profile: bool
    flax_use_orbax_checkpointing: bool
    flax_preserve_adopted_names: bool
    flax_return_frozendict: bool
    flax_fix_rng_separator: bool
    flax_use_flaxlib: bool
    flax_fast_init: bool
    flax_array_ref: bool
    flax_pytree_module: bool
    flax_max_repr_depth: int | None
    flax_always_shard_variable: bool
    flax_hijax_variable: bool
    nnx_graph_mode: bool
    nnx_graph_updates: bool
    nnx_sow_capture_noop: bool
    ramie_compiled_layers: str
    ramie_exact_variance: bool
    ramie_donate: str
    ramie_keep_proofs: bool
    ramie_share_traces: bool

    _values: dict[str, Any]

    def __init__(self) -> None:
        # The attributes are the storage: flags are read in hot paths and hardly ever written.
        self.__dict__["_values"] = self.__dict__

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"config.{name} cannot be assigned. Write config.update({name!r}, {value!r}), or "
                f"with config.temp_flip_flag({name!r}, {value!r}): for a while."
            )
        super().__setattr__(name, value)

    def _read(self, name: str) -> Any:
        """Return the value of a flag; other projects read flags under this name."""
        return getattr(self, self._resolve(name))

    def update(
        self, name_or_holder: str | FlagHolder[Any], value: bool | int | str | None, /
    ) -> None:
        """Set a flag for the rest of the process.

        Args:
            name_or_holder: The flag, with or without the prefix ``flax_`` or ``ramie_``, or its
                holder.
            value: The new value.

        Raises:
            LookupError: There is no such flag.
            TypeError: The flag cannot take this value.
        """
        name = self._resolve(name_or_holder)
        self._values[name] = _KINDS[name](name, value)

    @contextmanager
    def temp_flip_flag(self, var_name: str, var_value: bool | int | str | None) -> Iterator[None]:
        """Set a flag for the length of a ``with`` block.

        Args:
            var_name: The flag, with or without the prefix ``flax_`` or ``ramie_``.
            var_value: The value inside the block.

        Raises:
            LookupError: There is no such flag.
            TypeError: The flag cannot take this value.
        """
        name = self._resolve(var_name)
        before = self._values[name]
        self.update(name, var_value)
        try:
            yield
        finally:
            self._values[name] = before

    def _resolve(self, name_or_holder: str | FlagHolder[Any]) -> str:
        name = name_or_holder.name if isinstance(name_or_holder, FlagHolder) else name_or_holder
        for candidate in (name, f"flax_{name}", f"ramie_{name}"):
            if candidate in self._values and candidate in _KINDS:
                return candidate
        raise LookupError(
            f"Unrecognized config option: {name}. The flags are: {', '.join(self._names())}."
        )

    def _names(self) -> list[str]:
        return [name for name in self._values if name in _KINDS]

    def __repr__(self) -> str:
        lines = ",\n".join(f"  {name}={self._values[name]!r}" for name in self._names())
        return f"Config(\n{lines}\n)"


config = Config()
_KINDS: dict[str, Callable[[str, Any], Any]] = {}


def static_bool_env(varname: str, default: bool) -> bool:
    """Read a truth value from the environment.

    Args:
        varname: Name of the variable. Case does not matter in its value: y, yes, t, true, on and
            1 mean True; n, no, f, false, off and 0 mean False.
        default: The result if the variable is not set.

    Raises:
        ValueError: The variable holds something else.
    """
    text = os.environ.get(varname)
    if text is None:
        return default
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(
        f"invalid truth value {text!r} for environment variable {varname}. Set it to 1 or 0, true "
        "or false, yes or no, on or off."
    )


def static_int_env(varname: str, default: int | None) -> int | None:
    """Read a whole number from the environment.

    Args:
        varname: Name of the variable.
        default: The result if the variable is not set.

    Raises:
        ValueError: The variable holds something else.
    """
    text = os.environ.get(varname)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"The environment variable {varname} is {text!r}, which is not a whole number."
        ) from None


def bool_flag(name: str, *, default: bool, help: str) -> FlagHolder[bool]:
    """Define a flag that is on or off.

    Args:
        name: Its full name; the environment variable is the same in capitals.
        default: Its value where the environment says nothing.
        help: What it does.

    Raises:
        RuntimeError: A flag of this name exists.
        ValueError: The environment variable is not a truth value.
    """
    return _define(name, static_bool_env(_variable(name), default), _as_bool, help)


def int_flag(name: str, *, default: int | None, help: str) -> FlagHolder[int | None]:
    """Define a flag that is a whole number, or None.

    Args:
        name: Its full name; the environment variable is the same in capitals.
        default: Its value where the environment says nothing.
        help: What it does.

    Raises:
        RuntimeError: A flag of this name exists.
        ValueError: The environment variable is not a whole number.
    """
    return _define(name, static_int_env(_variable(name), default), _as_int, help)


def choice_flag(name: str, *, choices: tuple[str, ...], default: str, help: str) -> FlagHolder[str]:
    """Define a flag that is one of a few words.

    Args:
        name: Its full name; the environment variable is the same in capitals.
        choices: The words it may be.
        default: Its value where the environment says nothing.
        help: What it does.

    Raises:
        RuntimeError: A flag of this name exists.
        ValueError: The environment variable is none of the words.
    """

    def check(flag: str, value: Any) -> str:
        if isinstance(value, str) and value in choices:
            return value
        raise TypeError(f"The flag {flag!r} is one of {', '.join(choices)}; got {value!r}.")

    variable = _variable(name)
    word = os.environ.get(variable, default)
    if word not in choices:
        raise ValueError(
            f"The environment variable {variable} is {word!r}. Set it to one of "
            f"{', '.join(choices)}."
        )
    return _define(name, word, check, help)


def define_bool_state(name: str, default: bool, help: str) -> FlagHolder[bool]:
    """Define the on-or-off flag ``flax_<name>``, as older code does.

    Args:
        name: Its name without the prefix.
        default: Its value where the environment variable ``FLAX_<NAME>`` says nothing.
        help: What it does.

    Raises:
        RuntimeError: A flag of this name exists.
        ValueError: The environment variable is not a truth value.
    """
    return bool_flag(f"flax_{name}", default=default, help=help)


def _variable(flag: str) -> str:
    """The environment variable that decides a flag: ours if it is set, else the peer's."""
    ours = "RAMIE_" + flag.removeprefix("flax_").removeprefix("ramie_").upper()
    return ours if ours in os.environ else flag.upper()


def _define(name: str, value: Any, check: Callable[[str, Any], Any], help: str) -> FlagHolder[Any]:
    if name in config._values:
        raise RuntimeError(f"The flag {name!r} is already defined; choose another name.")
    holder: FlagHolder[Any] = FlagHolder(name, help)
    config._values[name] = value
    _KINDS[name] = check
    setattr(Config, name, holder)
    return holder


def _as_bool(name: str, value: Any) -> bool:
    if value not in (True, False):
        raise TypeError(f"The flag {name!r} is on or off: expected a bool, got {value!r}.")
    return bool(value)


def _as_int(name: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"The flag {name!r} is a number: expected an int or None, got {value!r}.")
    return value


def _define_table() -> dict[str, FlagHolder[Any]]:
    """Define the flags of the table, and return their holders by the names of this module."""
    holders: dict[str, FlagHolder[Any]] = {}
    for name, default, effect, choices in FLAGS:
        if isinstance(default, str):
            holders[name] = choice_flag(name, choices=choices, default=default, help=effect)
        elif isinstance(default, bool):
            holders[name] = bool_flag(name, default=default, help=effect)
        else:
            holders[name] = int_flag(name, default=default, help=effect)
    return holders


globals().update(_define_table())
flax_fix_rng: FlagHolder[bool] = globals()["flax_fix_rng_separator"]  # as Flax calls this holder
