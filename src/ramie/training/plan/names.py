"""Name stacks of JAX: which module an operation of a compiled program belongs to."""

import itertools
import re

__all__ = ["module_of", "operation_of"]

# What JAX and the library put between the names of modules.
_MACHINERY = {
    "body",
    "branch",
    "call_exported",
    "checkpoint",
    "closed_call",
    "cond",
    "custom_jvp_call",
    "custom_vjp_call",
    "eval_jaxpr",
    "jit",
    "pjit",
    "rematted_computation",
    "remat",
    "scan",
    "while",
}
_TOGETHER = re.compile(r"^(.*/|)\((.*)\)$")
_WRAPPED = re.compile(r"^(\w+)\((.*)\)$")
_PART = re.compile(r"[^/()]*(?:\([^()]*(?:\([^()]*(?:\([^()]*\))*[^()]*\))*[^()]*\))?[^/()]*")


def _unwrapped(part: str) -> str:
    wrapped = _WRAPPED.match(part)
    while wrapped:
        if wrapped.group(1) in ("jit", "pjit"):
            return ""
        part = wrapped.group(2)
        wrapped = _WRAPPED.match(part)
    is_machinery = part in _MACHINERY or re.fullmatch(r"branch_\d+(_fun)?", part)
    return "" if is_machinery or "->" in part else part  # the latter is what einsum was asked for


def _parts(stack: str) -> list[str]:
    return [part for part in _PART.findall(stack.partition(";")[0]) if part]


def _alternatives(stack: str) -> list[str]:
    """Return the name stacks of what the compiler has put together: ``a/(b/add:c/mul)``."""
    together = _TOGETHER.match(stack)
    if together is None:
        return [stack]
    return [f"{together.group(1)}{one}" for one in together.group(2).split(":")]


def module_of(stack: str) -> str:
    """Return the path of the module in a name stack, without what transformations put around it.

    Of what the compiler has put together it is what the paths have in common.

    Example:
        >>> module_of("jit(step)/transpose(jvp(Net))/while/body/checkpoint/layers/up/dot_general")
        'Net/layers/up'
    """
    paths = [[*filter(None, map(_unwrapped, _parts(one)[:-1]))] for one in _alternatives(stack)]
    common = itertools.takewhile(lambda names: len(set(names)) == 1, zip(*paths, strict=False))
    return "/".join(names[0] for names in common)


def operation_of(stack: str) -> str:
    """Return the operation, the last part of a name stack.

    Example:
        >>> operation_of("jit(step)/jvp(Net)/dot_general")
        'dot_general'
    """
    parts = _parts(_alternatives(stack)[0])
    is_function = bool(parts) and not _unwrapped(parts[-1]) and parts[-1].startswith("jit(")
    return "" if not parts or is_function else parts[-1]
