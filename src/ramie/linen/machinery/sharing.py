"""Modules that agree are traced once: the call of a method by way of an earlier call's program.

Under `jax.jit`, the first of several equal calls is traced as a function of everything that may
differ between them: variables, root keys, hashes of paths, arguments. It and all later ones call
that function. Where no variables look like a module's own, its first call runs where it stands, and
only a second one makes the function. What calls agree in is their key; whatever a trace read beside
it shows while the function is made, and then each of these calls is traced where it stands.
"""

import contextlib
import functools
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from operator import ne
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_flatten

from ramie.core.scope.parts import copied, drawn_counts, outline_of, rebuilt, update
from ramie.core.scope.rng import LazyRng, PathWatch, key_here, path_hash, watch_paths
from ramie.core.scope.scope import Scope
from ramie.core.scope.shapes import stable_key
from ramie.core.scope.variables import Variable, plain
from ramie.core.sharding import get_logical_axis_rules
from ramie.core.tracing.abstract import with_values, without_tracers
from ramie.core.tracing.outside import Outside
from ramie.core.tracing.program import NotShared, Program
from ramie.core.tracing.sameness import Same
from ramie.core.tracing.trace import current_trace, is_compiled, trace_settings
from ramie.foundation.configurations import FLAGS, config
from ramie.linen.machinery.adopt import map_modules, rebind
from ramie.linen.machinery.base import ModuleBase
from ramie.linen.machinery.context import context, interceptors, named_call, sharing
from ramie.linen.machinery.plan import SHARES
from ramie.linen.machinery.state import DONE, RUNNING

__all__ = ["call_shared", "share_traces"]

# Below so many arrays of variables a call costs as much as tracing what it calls.
_FEWEST_VARIABLES = 3
_LARGEST_CONSTANT = 1 << 16  # elements of a NumPy array that is compared by content

_ATOMS = (int, complex, str, bytes, type(None), type, np.dtype)
_OWN = frozenset({"_parent_ref", "_revised", SHARES, "_state", "name", "scope"})
_LAYERS = "ramie.linen.layers."
# Of these a method may read more than the place of a module in its tree.
_TELLING = frozenset({"parent", "scope"})


@contextlib.contextmanager
def share_traces(enable: bool = True) -> Iterator[None]:
    """Trace modules that agree once inside the ``with`` block, in place of each for itself.

    It concerns models that are traced by `jax.jit` or another compiling function inside the block,
    in this thread. The flag ``ramie_share_traces`` does it for a whole program, and
    ``Model(..., share_traces=True)`` for one model; the closest of them decides.

    Submodules are shared if they agree in class, fields, shapes and dtypes of variables and
    arguments, mutable collections, random streams, and settings of JAX, and have at least three
    arrays of variables. Results are those without sharing, in every bit once compiled. Traced for
    themselves, as without, are calls that make variables (`init`, `sow`), read their own name or
    path, read traced values that are no arguments, have effects or callbacks, run under
    `intercept_methods` or `capture_intermediates`, that fail, or that do something in Python which
    can be seen, such as counting in a list (`ramie.core.tracing.outside`).

    Args:
      enable: False switches it off inside the block.

    Example:
      >>> import jax, ramie.linen as nn
      >>> class Block(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         return x + nn.Dense(x.shape[-1])(nn.relu(nn.Dense(8)(x)))
      >>> class Tower(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         for _ in range(12):
      ...             x = Block()(x)
      ...         return x
      >>> x = jax.numpy.ones((1, 4))
      >>> variables = Tower().init(jax.random.key(0), x)
      >>> with nn.share_traces():
      ...     shared = jax.jit(Tower().apply).lower(variables, x)
      >>> shared.as_text().count("call @Block")
      12
    """
    before = sharing.set(enable)
    try:
        yield
    finally:
        sharing.reset(before)


def call_shared(
    module: ModuleBase,
    method: Callable[..., Any],
    label: Callable[[], Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call a method of a module, by way of an equal call's program if there is one.

    Args:
      module: the module.
      method: called as ``method(module, *args, **kwargs)``; marked by ``context.in_place`` it has
        to run at once.
      label: makes the context that names the equations of the method.
      args: see above.
      kwargs: see above.
    """
    if not _may_share(module):
        return _in_place(module, method, args, kwargs)
    call = _Call(module)
    programs = call.scope._tree.shared
    try:
        key = call.describe(method, args, kwargs)
        known = programs.get(key)
        if type(known) is _Shared and not known.outside.is_current():
            known = None  # what its methods read has changed
    except (NotShared, TypeError):  # TypeError: something that has no hash after all
        return _in_place(module, method, args, kwargs)
    if known is None and not call.has_twin():
        watch = PathWatch(call.prefix)
        with watch_paths(watch):
            y = _in_place(module, method, args, kwargs)
        programs[key] = _NEVER if watch.elsewhere else tuple(watch.below)
        return y
    if known is _NEVER:
        return _in_place(module, method, args, kwargs)
    if type(known) is not _Shared:
        try:
            known = programs[key] = _made(call, method, known)
        except Exception:  # if it is the user's, it comes again and names this module
            programs[key] = _NEVER
            return _in_place(module, method, args, kwargs)
    with label():
        return known.run(call)


_NEVER = object()


def _made(
    call: "_Call", method: Callable[..., Any], drawn: tuple[tuple[Any, ...], ...] | None
) -> "_Shared":
    """Make the program of a call; None for `drawn` if nobody knows yet which keys it draws."""
    try:
        return _Shared(call, method, drawn)
    except _DrawsKeys as found:
        return _Shared(call, method, found.paths)


def _in_place(
    module: ModuleBase, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    context.in_place = module
    return method(module, *args, **kwargs)


# Which calls -------------------------------------------------------------------------------


def _may_share(module: ModuleBase) -> bool:
    """Tell whether a call may be shared, as far as that shows without looking at arrays."""
    own = module.__dict__
    scope: Scope | None = own.get("scope")
    state = own["_state"]
    return (
        scope is not None
        and scope.parent is not None
        and scope.name == own["name"]
        and scope._rng_base is scope.parent._rng_base
        and not state.in_compact_method
        and not state.in_setup
        and state.setup_called is not RUNNING
        and _is_plain(type(module))
        and not any(module is running for running in context.stack)
        and context.capture[-1] is None
        and not interceptors.get()
        and not scope.get_flag("initializing", False)
        and scope._tree.trace_level == current_trace()
        and is_compiled()
    )


# What `_is_plain` found.
_plain: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def _is_plain(cls: Any) -> bool:
    """Tell whether modules of a class are what their fields say, and more than one layer."""
    known = _plain.get(cls)
    if known is None:
        known = _plain[cls] = _look_at(cls)
    return known


def _look_at(cls: Any) -> bool:
    if cls.__module__.startswith(_LAYERS) and not cls.__module__.startswith(
        (f"{_LAYERS}attention", f"{_LAYERS}recurrent", f"{_LAYERS}combinators")
    ):
        return False
    if cls._plan.rebuilds or cls.__init__.__code__.co_filename != "<string>":
        return False
    for base in cls.__mro__[: cls.__mro__.index(ModuleBase) - 1]:
        if "__post_init__" in base.__dict__ or "__setattr__" in base.__dict__:
            return False
    return True


# What calls agree in -----------------------------------------------------------------------


def _constant(value: Any, of_module: Callable[[ModuleBase], Hashable]) -> Hashable:
    """Return something equal for values that a trace cannot tell apart.

    Raises:
      NotShared: if the value can change, or belongs to a trace.
    """
    kind = type(value)
    if kind is float:
        return kind, value.hex()  # zeros have signs
    if isinstance(value, _ATOMS):
        return kind, value
    if isinstance(value, ModuleBase):
        return of_module(value)
    if isinstance(value, list | tuple):
        return (kind, *[_constant(item, of_module) for item in value])
    if isinstance(value, Mapping):
        return (kind, *[(key, _constant(item, of_module)) for key, item in value.items()])
    if isinstance(value, functools.partial):
        parts = value.func, value.args, value.keywords
        return (kind, *[_constant(part, of_module) for part in parts])
    if isinstance(value, jax.core.Tracer | Variable | Scope):
        raise NotShared("holds a value of a trace")
    if isinstance(value, np.ndarray | np.generic):
        if value.size > _LARGEST_CONSTANT or value.dtype.hasobject:
            raise NotShared("holds a large array of NumPy")
        return kind, value.dtype, value.shape, value.tobytes()
    if callable(value) and not isinstance(value, type) and (key := stable_key(value)) is not None:
        return kind, key
    try:
        hash(value)
    except TypeError:
        return Same(value)
    return kind, value


def _no_module(module: ModuleBase) -> Hashable:
    raise NotShared(f"takes a {type(module).__name__} as an argument")


class _Call:
    """One call: what it has in common with others, and what is its own.

    Attributes:
      module: the module.
      scope: its scope.
      prefix: what paths of keys begin with.
      parts: the variables below the module, by collection.
      leaves: the arrays of variables, root keys and arguments.
    """

    def __init__(self, module: ModuleBase) -> None:
        scope: Scope = module.__dict__["scope"]
        self.module = module
        self.scope = scope
        self.leaves: list[Any] = []
        self.parts: dict[str, Any] = {}
        self.prefix: tuple[Any, ...] = ()
        self.streams: dict[str, LazyRng] = scope._rng_base

    def describe(
        self, method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Hashable:
        """Return the key of the call.

        Raises:
          NotShared: if it has none.
        """
        scope, leaves = self.scope, self.leaves
        collections = []
        for col, whole in scope._tree.variables.items():
            part = self.parts[col] = scope._collection(col)
            writable = scope.is_mutable_collection(col)
            collections.append((col, not whole, writable, outline_of(part, leaves)))
        if len(leaves) < _FEWEST_VARIABLES:
            raise NotShared("has few variables")
        streams = self._keys()
        arguments = self._arguments(args, kwargs)
        return (
            *(type(self.module), method, self._fields(self.module, {})),
            *(tuple(collections), streams, arguments, drawn_counts(scope.rng_counters)),
            *(repr(scope.mutable), _constant(dict(scope.flags), _no_module)),
            *(named_call.get(), tuple(map(repr, get_logical_axis_rules())), trace_settings()),
            tuple([config._values[flag.name] for flag in FLAGS]),
        )

    def has_twin(self) -> bool:
        """Tell whether variables beside those of the module look like them."""
        parent = self.scope.parent
        assert parent is not None
        name = self.scope.name
        col, own = next((item for item in self.parts.items() if item[1]), ("", {}))
        outline, names = outline_of(own, []), list(plain(own))
        return any(
            isinstance(other, Mapping)
            and key != name
            and list(plain(other)) == names
            and outline_of(other, []) == outline
            for key, other in plain(parent._collection(col)).items()
        )

    def _keys(self) -> Hashable:
        described = []
        suffixes = {lazy.suffix for lazy in self.streams.values()}
        if len(suffixes) > 1:
            raise NotShared("has streams that begin at different paths")
        if suffixes:
            self.prefix = (*suffixes.pop(), *self.scope._rng_suffix)
        for name, lazy in self.streams.items():
            root = key_here(name, lazy.rng)
            self.leaves.append(root)
            described.append((name, jax.typeof(root)))
        return tuple(described)

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        self.given, self.treedef = tree_flatten((args, kwargs))
        described: list[Hashable] = []
        for leaf in self.given:
            if isinstance(leaf, jax.Array):
                self.leaves.append(leaf)
                described.append(jax.typeof(leaf))
            else:
                described.append(_constant(leaf, _no_module))
        return self.treedef, tuple(described)

    def _fields(self, module: ModuleBase, seen: dict[int, int]) -> Hashable:
        number = seen.get(id(module))
        if number is not None:
            return ModuleBase, number
        seen[id(module)] = len(seen)
        own = module.__dict__
        if not _is_below(module, self.scope):
            raise NotShared("holds a module that lies elsewhere")
        state = own["_state"]
        attributes = own.keys() - _OWN - frozenset(module._plan.fields)
        is_set_up = module._plan.has_setup and state.setup_called is DONE
        if attributes and not is_set_up:
            raise NotShared("has attributes that are no fields")
        fields = [
            _constant(own.get(name), functools.partial(self._fields, seen=seen))
            for name in module._plan.fields
        ]
        below = own["scope"].path[len(self.scope.path) :]
        return type(module), below, is_set_up, frozenset(attributes), *fields

    def class_and_fields(self, x: Any) -> tuple[Any, ...] | None:
        """Return what tells what methods of a module do; None for what is no module.

        Raises:
          NotShared: if a lifted method has hold of a module that runs elsewhere.
        """
        if not isinstance(x, ModuleBase):
            return None
        own = x.__dict__
        if own["scope"] is not None and not _is_below(x, self.scope):
            raise NotShared("has hold of a module that lies elsewhere")
        return type(x), *(own.get(name) for name in x._plan.fields)

    def inside(
        self, method: Callable[..., Any], leaves: Sequence[Any], watch: PathWatch
    ) -> "_Inside":
        """Run the method on a copy of the module, with other arrays for `self.leaves`."""
        rest = iter(leaves)
        parent = self.scope.parent
        assert parent is not None
        name = str(self.scope.name)
        parts = {col: rebuilt(part, rest) for col, part in self.parts.items()}
        keys = {name: LazyRng(next(rest), lazy.suffix) for name, lazy in self.streams.items()}
        given = [next(rest) if isinstance(leaf, jax.Array) else leaf for leaf in self.given]
        root = Scope(
            {col: {name: part} if part else {} for col, part in parts.items()},
            keys,
            parent.name,
            parent.mutable,
            path=parent.path,
            debug_path=parent.debug_path,
            flags=parent.flags,
        )
        root._rng_suffix = parent._rng_suffix
        root._counters = {(name,): copied(self.scope.rng_counters)}
        root._tree.shared = self.scope._tree.shared
        with root.temporary():
            scope = root.push(name)
            copy = rebind(self.module, scope)
            depth = len(scope.path)
            if _layout(copy, depth, []) != _layout(self.module, depth, []):
                raise NotShared("has modules in fields under names of their own")
            copy.__dict__["name"] = None  # so that programs show the class
            watch.copy = copy
            args, kwargs = jax.tree_util.tree_unflatten(self.treedef, given)
            y = _in_place(copy, method, args, kwargs)
            after, structure = tree_flatten((args, kwargs))
            if ne(structure, self.treedef) or any(map(_differ, after, given)):
                raise NotShared("changes its arguments")
            watch.copy = None
            if self.module.__dict__["_state"].setup_called is DONE:
                _check_attributes(copy, self.module)
            return _Inside(self, y, scope, leaves)


def _layout(module: ModuleBase, depth: int, found: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the paths of a module and those in its fields, without so many first names."""

    # Not a function that calls itself: the cycle would keep the scope.
    def visit(inner: ModuleBase, _: str) -> ModuleBase:
        _layout(inner, depth, found)
        return inner

    found.append(module.__dict__["scope"].path[depth:])
    for name in module._plan.fields:
        map_modules(module.__dict__.get(name), visit)
    return found


def _is_below(module: ModuleBase, scope: Scope) -> bool:
    at = module.__dict__["scope"]
    while at is not None and at is not scope:
        at = at.parent
    return at is scope


def _differ(a: Any, b: Any) -> bool:
    return a is not b


def _check_attributes(copy: ModuleBase, module: ModuleBase) -> None:
    if copy.__dict__.keys() != module.__dict__.keys():
        raise NotShared("has attributes that setup did not make")


# The program -------------------------------------------------------------------------------


class _Inside:
    """What came out of a call inside.

    Attributes:
      y: what the method returned, taken apart.
      outputs: the tracers in it, then the variables that are others than before.
      written: of each of these variables the collection, the path, and its number of arrays.
      counts: how often keys were drawn.
    """

    def __init__(self, call: _Call, y: Any, scope: Scope, before: Sequence[Any]) -> None:
        self.y, self.outputs = without_tracers(y)
        for leaf in jax.tree_util.tree_leaves(y):
            if not isinstance(leaf, jax.core.Tracer | int | float | complex | str):
                raise NotShared(f"returns a {type(leaf).__name__}")
        self.tracers = len(self.outputs)
        self.counts = copied(scope.rng_counters)
        self.written: list[tuple[str, tuple[str, ...]]] = []
        made = set(scope._tree.variables) - set(call.parts)
        if any(scope._tree.variables[col] for col in made):
            raise NotShared("makes a collection")
        rest = iter(before)
        for col, part in call.parts.items():
            self._compare(col, (), part, scope._collection(col), rest)

    def _compare(
        self, col: str, path: tuple[str, ...], old: Any, new: Any, before: Iterator[Any]
    ) -> None:
        if isinstance(old, Mapping):
            old, new = plain(old), plain(new) if isinstance(new, Mapping) else None
            if new is None or list(old) != list(new):
                raise NotShared("makes variables")
            for name, held in old.items():
                self._compare(col, (*path, name), held, new[name], before)
            return
        leaves, treedef = tree_flatten(new)
        known = [next(before) for _ in leaves]
        if ne(treedef, tree_flatten(old)[1]):
            raise NotShared("changes the structure of a variable")
        if any(map(_differ, leaves, known)):
            if not all(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                raise NotShared("stores a constant")
            self.written.append((col, path))
            self.outputs.extend(leaves)


class _DrawsKeys(NotShared):
    """The program has to have hashes of paths among its operands: those of `paths`."""

    def __init__(self, paths: tuple[tuple[Any, ...], ...]) -> None:
        super().__init__("draws keys")
        self.paths = paths


class _Watch(PathWatch):
    """Sees the paths of keys, and refuses those that `setup` draws: it runs once a module.

    Args:
      prefix: see `PathWatch`.
      given: see `PathWatch`; None to find out which there are.
    """

    __slots__ = ("_is_asking",)

    def __init__(self, prefix: tuple[Any, ...], given: Mapping[Any, Any] | None) -> None:
        super().__init__(prefix, given or {})
        self._is_asking = given is None

    def hash_of(self, parts: tuple[Any, ...]) -> Any:
        """Return what stands for the hash of a path."""
        running = context.stack[-1]
        if running is not None and running.__dict__["_state"].in_setup:
            self.refuse("draws keys in setup")
        length = len(self.prefix)
        if self._is_asking and parts[:length] == self.prefix:
            self.below[parts[length:]] = None
            return np.uint32(0)  # of a program that nobody calls
        return super().hash_of(parts)


class _Shared:
    """The program of calls that agree.

    Args:
      call: one of them.
      method: what they call.
      drawn: the paths of the keys that it draws, below the module; None if that is not known.

    Raises:
      _DrawsKeys: if that was not known and it draws some.
    """

    def __init__(
        self, call: _Call, method: Callable[..., Any], drawn: tuple[tuple[Any, ...], ...] | None
    ) -> None:
        self._drawn = drawn or ()
        self.outside = Outside((method, call.module), call.class_and_fields)
        if self.outside.is_seen:
            raise NotShared("does something in Python that can be seen")
        if not _TELLING.isdisjoint(self.outside.attributes):
            raise NotShared("may read where it is")
        inside: Any = None

        def traced(*leaves: Any) -> list[Any]:
            nonlocal inside
            own, hashes = leaves[: len(call.leaves)], leaves[len(call.leaves) :]
            given = None if drawn is None else dict(zip(drawn, hashes, strict=True))
            watch = _Watch(call.prefix, given)
            with watch_paths(watch):
                inside = call.inside(method, own, watch)
            if watch.spoiled:
                raise NotShared("read where it is")
            if watch.below:
                raise _DrawsKeys(tuple(watch.below))
            outputs: list[Any] = inside.outputs
            inside.outputs = ()
            return outputs

        self._program = Program(traced, self._operands(call), type(call.module).__name__)
        if not self.outside.is_current():
            raise NotShared("changes something in Python")
        self._y, self._count = inside.y, inside.tracers
        self._written, self._counts = inside.written, inside.counts

    def _operands(self, call: _Call) -> list[Any]:
        return call.leaves + [path_hash((*call.prefix, *below)) for below in self._drawn]

    def run(self, call: _Call) -> Any:
        """Call the program, write what it has written, and return what the method returns."""
        results = self._program(self._operands(call))
        rest = iter(results[self._count :])
        for col, path in self._written:
            held = call.scope._mutable_collection(col)
            for name in path[:-1]:
                held = held[name]
            held[path[-1]] = jax.tree_util.tree_map(lambda _: next(rest), held[path[-1]])
        update(call.scope.rng_counters, self._counts)
        return with_values(self._y, results[: self._count])
