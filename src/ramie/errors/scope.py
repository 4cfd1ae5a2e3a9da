"""Mistakes with variables, collections, random streams and the scopes that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ramie.errors.base import RamieError, path_text

__all__ = [
    "ApplyScopeInvalidVariablesStructureError",
    "ApplyScopeInvalidVariablesTypeError",
    "ImmutableVariableError",
    "InvalidFilterError",
    "InvalidRngError",
    "InvalidScopeError",
    "LazyInitError",
    "ModifyScopeVariableError",
    "NameInUseError",
    "PartitioningUnspecifiedError",
    "ScopeCollectionNotFound",
    "ScopeParamNotFoundError",
    "ScopeParamShapeError",
    "ScopeVariableNotFoundError",
]

ScopePath = str | Iterable[Any]

_SELECTIVE = re.compile(r"(vmap|scan|while_loop)\(")
_COLLECTION_ARGUMENTS = {
    "vmap": "variable_axes",
    "scan": "variable_axes, variable_broadcast or variable_carry",
    "while_loop": "broadcast_variables or carry_variables",
}


def _crossing_hint(path: str, collection: str | None) -> str:
    """Tell what a transformation around the path lets in; nothing where there is none."""
    transforms = _SELECTIVE.findall(path)
    if not transforms:
        return ""
    inner = transforms[-1]
    if collection is None:
        what, argument = "stream exists", "split_rngs"
    else:
        what, argument = "collection exists", _COLLECTION_ARGUMENTS[inner]
    hint = f" Inside of {inner} a {what} only if its argument {argument} names it"
    if collection is not None and inner == "while_loop":
        return f"{hint}, and no variable is created: make them all before the loop."
    return f"{hint}."


class LazyInitError(RamieError, ValueError):
    """``lazy_init`` met a variable whose value needs the data of an abstract argument.

    An argument given as ``jax.ShapeDtypeStruct`` has no values, so an initial value may use its
    shape and dtype only::

        self.param("kernel", lambda key: x)                    # needs the values of x
        self.param("kernel", lambda key: jnp.zeros(x.shape))   # needs its shape only

    Args:
        partial_val: The abstract value that could not be computed.
    """

    def __init__(self, partial_val: Any) -> None:
        super().__init__(
            "Lazy init encountered a value that could not be computed: the initial value of a "
            f"variable, {partial_val}, needs the data of an argument that was given by shape only. "
            "Use just the shape and dtype of that argument in the initializer, or pass a real "
            "array for it."
        )


class InvalidRngError(RamieError, ValueError):
    """A random stream is missing, or what was given for it is not a key.

    ``init`` takes one key for all streams or a dictionary of named keys; ``apply`` takes the
    streams the forward pass draws from (dropout and the like) as ``rngs``::

        variables = model.init({"params": key_a, "dropout": key_b}, x)
        y = model.apply(variables, x, rngs={"dropout": key_c})

    Args:
        msg: The whole message: which stream, where, and what was given.
    """

    def __init__(self, msg: str) -> None:
        super().__init__(msg)

    @classmethod
    def missing(
        cls, stream: str, name: str | None, path: str, given: Iterable[str]
    ) -> InvalidRngError:
        """Make the error for a stream that is not there.

        Args:
            stream: Name of the stream that was asked for.
            name: Name of the module that asked, None for the outermost.
            path: Where that is.
            given: Names of the streams that are there.
        """
        return cls(
            f"{name} needs PRNG for \"{stream}\" (scope {path}). Pass rngs={{'{stream}': key}}; "
            f"the streams given are {sorted(given) or 'none'}." + _crossing_hint(path, None)
        )


class ApplyScopeInvalidVariablesTypeError(RamieError, TypeError):
    """``apply`` was given something else than a dictionary of variable collections.

    Args:
        found: What was given and where, in words; empty when it is not known.
    """

    def __init__(self, *, found: str = "") -> None:
        got = f" Found {found}." if found else ""
        super().__init__(
            "The first argument passed to an apply function should be a dictionary of "
            f"collections, such as {{'params': {{...}}}}.{got} Each collection is a dictionary of "
            "variables, and names of collections are strings."
        )


class ApplyScopeInvalidVariablesStructureError(RamieError, ValueError):
    """``apply`` was given ``{'params': {'params': ...}}``, the parameters wrapped once too often.

    Args:
        variables: The dictionary that was given.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        inner = variables.get("params") if isinstance(variables, Mapping) else None
        keys = f" (its keys: {_names(inner)})" if isinstance(inner, Mapping) else ""
        super().__init__(
            "Expect the `variables` (first argument) passed to apply() to be a dict with the "
            'structure {"params": ...}, but got a dict with an extra params layer: the collection '
            f"'params' holds the entry 'params'{keys}. Pass the result of init as it is, or unwrap "
            "one level: {'params': variables['params']}."
        )


class ScopeParamNotFoundError(RamieError, LookupError):
    """A parameter is asked for that the variables do not hold, and it may not be created now.

    Outside ``init`` parameters are only read. The usual reasons are a name or a structure that
    changed since ``init``, or variables that belong to another model.

    Args:
        param_name: Name of the parameter.
        scope_path: Where it was asked for.
    """

    def __init__(self, param_name: str, scope_path: ScopePath) -> None:
        super().__init__(
            f'Could not find parameter named "{param_name}" in scope "{path_text(scope_path)}". '
            "Parameters are created by init and only read by apply: check that the variables come "
            "from init of this very model, and that its names and layers do not depend on the "
            "arguments of the call."
        )


class ScopeCollectionNotFound(RamieError, LookupError):
    """A variable is asked for in a collection that was not passed in, or that is empty.

    Often ``apply(params, x)`` was written where ``apply({'params': params}, x)`` was meant, or
    the collection is still to be filled and needs ``mutable=``.

    Args:
        col_name: Name of the collection.
        var_name: Name of the variable.
        scope_path: Where it was asked for.
    """

    def __init__(self, col_name: str, var_name: str, scope_path: ScopePath) -> None:
        super().__init__(
            f'Tried to access "{var_name}" from collection "{col_name}" in '
            f'"{path_text(scope_path)}" but the collection is empty, or was not passed. Give '
            f"apply a dictionary that holds it, {{'{col_name}': {{...}}, ...}}, or let apply "
            f"create its variables with mutable=['{col_name}']."
            + _crossing_hint(path_text(scope_path), col_name)
        )


class ScopeParamShapeError(RamieError, ValueError):
    """A stored parameter has another shape than its initializer would give it now.

    Nearly always the inputs of ``apply`` differ in their feature size from those of ``init``, or
    a checkpoint belongs to a model with other sizes.

    Args:
        param_name: Name of the parameter.
        scope_path: Where it lives.
        value_shape: The shape of the stored value.
        init_shape: The shape the initializer declares.
    """

    def __init__(
        self,
        param_name: str,
        scope_path: ScopePath,
        value_shape: Sequence[int],
        init_shape: Sequence[int],
    ) -> None:
        super().__init__(
            f'For parameter "{param_name}" in "{path_text(scope_path)}", the given initializer is '
            f"expected to generate shape {init_shape}, but the existing parameter it received has "
            f"shape {value_shape}. Feed inputs with the feature sizes that were used at init, or "
            "initialise again."
        )


class ScopeVariableNotFoundError(RamieError, LookupError):
    """A variable is asked for that does not exist in a collection that may not change.

    Args:
        name: Name of the variable.
        col: Its collection.
        scope_path: Where it was asked for.
    """

    def __init__(self, name: str, col: str, scope_path: ScopePath) -> None:
        super().__init__(
            f'No Variable named "{name}" for collection "{col}" exists in '
            f'"{path_text(scope_path)}", and none can be created because the collection is not '
            f"mutable. Pass variables that hold it, or allow its creation with mutable=['{col}']."
        )


class InvalidFilterError(RamieError, TypeError):
    """A collection filter is none of the forms that can be understood.

    Args:
        filter_like: The value that was given.
    """

    def __init__(self, filter_like: Any) -> None:
        super().__init__(
            f'Invalid Filter: "{filter_like}" of type {type(filter_like).__name__}. To choose '
            "collections give True (all of them), False (none), the name of one, a container of "
            "names, or DenyList(filter) for all but those."
        )


class InvalidScopeError(RamieError, RuntimeError):
    """A scope, or a module bound to one, is used after the call that made it has ended.

    Args:
        scope_name: Name of the scope.
    """

    def __init__(self, scope_name: str) -> None:
        super().__init__(
            f'The scope "{scope_name}" is no longer valid: it lives only while the init, apply or '
            "temporary() that made it runs. Do not keep bound modules or scopes outside of it; "
            "return arrays or variables instead, or use bind() for a module that stays usable."
        )


class ModifyScopeVariableError(RamieError, ValueError):
    """A variable is written whose collection is not mutable in this call.

    ``apply`` changes nothing unless it is told what may change, and then returns those
    collections beside the output::

        y, updates = model.apply(variables, x, mutable=["batch_stats"])

    Args:
        col: The collection.
        variable_name: Name of the variable.
        scope_path: Where it lives.
    """

    def __init__(self, col: str, variable_name: str, scope_path: ScopePath) -> None:
        super().__init__(
            f'Cannot update variable "{variable_name}" in "{path_text(scope_path)}" because '
            f"collection \"{col}\" is immutable. Pass mutable=['{col}'] to apply, which then "
            "returns the pair (output, updated collections)."
        )


class ImmutableVariableError(RamieError, TypeError):
    """A variable is written that was made read-only.

    Args:
        message: The whole message: which variable, and why it may not change.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)


class NameInUseError(RamieError, ValueError):
    """Two of a module's submodules, parameters and variables are given one name.

    They share one namespace per module, across collections. To use one layer twice, make it
    once and call it twice::

        dense = nn.Dense(3, name="proj")
        y, z = dense(a), dense(b)

    Args:
        key_type: What was to be created: "param", "submodule", or the collection of a variable.
        value: The name.
        module_name: The module it was to be created in.
    """

    def __init__(self, key_type: str, value: str, module_name: str) -> None:
        super().__init__(
            f'Could not create {key_type} "{value}" in Module {module_name}: Name in use. '
            "Submodules, params and variables of a module share one set of names; rename one of "
            "the two, or share the existing submodule by calling the same instance again."
        )


class PartitioningUnspecifiedError(RamieError, ValueError):
    """A transform adds an axis to partitioned values and was not told the axis's name.

    Args:
        target: The boxed value.
    """

    def __init__(self, target: Any) -> None:
        super().__init__(
            'Trying to transform a Partitioned variable but "partition_name" is not specified in '
            f"metadata_params: {target}. The transform adds an axis to it, or takes one away, and "
            "needs the name of that axis: metadata_params={nn.PARTITION_NAME: 'axis name'}. It may "
            "be None for an axis that is not partitioned."
        )


def _names(mapping: Mapping[str, Any]) -> str:
    """The first few keys, for a message."""
    keys = [repr(key) for key in mapping]
    return ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
