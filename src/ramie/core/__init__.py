"""State and transformations: what layers of either style are built on."""

from typing import Any

from ramie.core import axes_scan as axes_scan
from ramie.core import lift as lift
from ramie.core import meta as meta
from ramie.core import scope as scope
from ramie.core.axes_scan import broadcast as broadcast
from ramie.core.filters import DenyList as DenyList
from ramie.core.frozen import FrozenDict as FrozenDict
from ramie.core.frozen import copy as copy
from ramie.core.frozen import freeze as freeze
from ramie.core.frozen import pop as pop
from ramie.core.frozen import pretty_repr as pretty_repr
from ramie.core.frozen import unfreeze as unfreeze
from ramie.core.lift import custom_vjp as custom_vjp
from ramie.core.lift import jit as jit
from ramie.core.lift import jvp as jvp
from ramie.core.lift import remat as remat
from ramie.core.lift import remat_scan as remat_scan
from ramie.core.lift import scan as scan
from ramie.core.lift import vjp as vjp
from ramie.core.lift import vmap as vmap
from ramie.core.lift import while_loop as while_loop
from ramie.core.meta import AxisMetadata as AxisMetadata
from ramie.core.meta import map_axis_meta as map_axis_meta
from ramie.core.meta import unbox as unbox
from ramie.core.rng import LazyRng as LazyRng
from ramie.core.scope import Scope as Scope
from ramie.core.scope import apply as apply
from ramie.core.scope import bind as bind
from ramie.core.scope import init as init
from ramie.core.scope import lazy_init as lazy_init
from ramie.core.trace import check_trace_level as check_trace_level
from ramie.core.trace import current_trace as current_trace
from ramie.typing import Array as Array

__all__ = [
    "Array",
    "AxisMetadata",
    "DenyList",
    "FrozenDict",
    "LazyRng",
    "Scope",
    "apply",
    "axes_scan",
    "bind",
    "broadcast",
    "check_trace_level",
    "copy",
    "current_trace",
    "custom_vjp",
    "freeze",
    "init",
    "jit",
    "jvp",
    "lazy_init",
    "lift",
    "map_axis_meta",
    "meta",
    "pop",
    "pretty_repr",
    "remat",
    "remat_scan",
    "scan",
    "scope",
    "unbox",
    "unfreeze",
    "vjp",
    "vmap",
    "while_loop",
]


def __getattr__(name: str) -> Any:
    """Resolve `nn`, the layers on bare scopes: they need both core and the layers, so they lie in
    `ramie.linen.scoped` and are loaded when asked for.
    """
    if name == "nn":
        import importlib

        return importlib.import_module("ramie.linen.scoped")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
