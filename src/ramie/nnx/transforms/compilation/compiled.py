"""nnx.jit: compile a function of modules and variables."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ramie.core.donation import can_tell
from ramie.core.tracing.arguments import from_start, named_positions, names_at
from ramie.core.tracing.trace import is_top_level
from ramie.foundation.configurations import config
from ramie.nnx.graph.cache import flatten
from ramie.nnx.graph.functional import clone
from ramie.nnx.modules.places import noting
from ramie.nnx.modules.sharing import shared_call
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.checks import refuse_other_values
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.prefixes import StateSharding
from ramie.nnx.transforms.arguments.statics import Statics, with_statics, without_statics
from ramie.nnx.transforms.compilation.donating import Donating
from ramie.nnx.transforms.compilation.stages import Lowered, Traced
from ramie.typing import MISSING

__all__ = ["JitWrapped", "cached_partial", "jit", "jit_partial"]

Indices = int | Sequence[int] | None
Names = str | Iterable[str] | None


@dataclasses.dataclass(frozen=True)
class _Placing:
    """The prefix of an argument: where it is, and whether its buffers are given away."""

    sharding: Any
    is_donated: bool = dataclasses.field(compare=False)


class _Static(NamedTuple):
    """Static arguments, part of what a compiled function is looked up by.

    Attributes:
      args: position, class and value.
      kwargs: name, class and value.
    """

    args: Statics = ()
    kwargs: tuple[tuple[str, type, Any], ...] = ()


class _Chosen:
    """Arguments chosen by position or by name; either says the other, as the signature has it.

    Args:
      f: the function.
      numbers: positions.
      names: names.
    """

    def __init__(self, f: Callable[..., Any], numbers: Indices, names: Names) -> None:
        self.numbers = named_positions(f, names) if numbers is None else from_start(f, numbers)
        self.names = frozenset((names,) if isinstance(names, str) else names or ())
        if names is None:
            self.names = frozenset(names_at(f, self.numbers))

    def __bool__(self) -> bool:
        return bool(self.numbers or self.names)

    def among(self, count: int) -> frozenset[int]:
        """Return the chosen positions if there are `count` arguments."""
        return frozenset(i % count for i in self.numbers if -count <= i < count)


class _Variant(NamedTuple):
    """The compiled form for one number of arguments.

    Attributes:
      edge: the boundary.
      jitted: the compiled function of outline and groups.
      kept: numbers of the groups whose variables it returns only if it changed them.
    """

    edge: Boundary
    jitted: Any
    kept: tuple[int, ...]


class JitWrapped:
    """A compiled function; see `jit`.

    Args:
      fun: the function.
      in_shardings: see `jit`, as all others.
      out_shardings: ...
      static: static arguments.
      donated: donated arguments.
      graph: graph mode or tree mode.
      graph_updates: whether structure may change.
      partial_args: the first arguments of each call.
      name: for messages.
      donate: see `jit`.
      share_traces: see `jit`.
      **options: further ones of `jax.jit`.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        in_shardings: Any,
        out_shardings: Any,
        static: _Chosen,
        donated: _Chosen,
        graph: bool | None,
        graph_updates: bool | None,
        partial_args: tuple[Any, ...] = (),
        name: str = "jit",
        donate: str | None = None,
        share_traces: bool | None = None,
        **options: Any,
    ) -> None:
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._name_of_function = getattr(fun, "__name__", "function")
        self._in_shardings, self._out_shardings = in_shardings, out_shardings
        self._static, self._donated = static, donated
        self._mode = graph, graph_updates
        self._partial_args = partial_args
        self._name = name
        self._options = options
        self._donate = donate
        self._call = functools.partial(_called, fun, share_traces)
        self._may_donate = not donated and in_shardings is None and out_shardings is None
        self._donating: Donating | None = None
        self._variants: dict[Hashable, _Variant] = {}
        if not donated:
            self._variants[None] = self._variant(self._placings(in_shardings, frozenset(), 0, {}))

    # --- compiling ----------------------------------------------------------------------------

    def _placings(
        self, shardings: Any, donated: frozenset[int], count: int, kwargs: dict[str, Any]
    ) -> Any:
        """Return the tree of prefixes of args and kwargs."""
        if not self._donated:
            return None if shardings is None else (shardings, None)
        if not isinstance(shardings, tuple | list):
            shardings = (shardings,) * count
        args = tuple(
            jax.tree.map(
                lambda x, i=i: _Placing(x, i in donated),
                one,
                is_leaf=lambda x: x is None or isinstance(x, StateSharding),
            )
            for i, one in enumerate(shardings)
        )
        return args, {name: _Placing(None, name in self._donated.names) for name in kwargs}

    def _variant(self, placings: Any) -> _Variant:
        edge = Boundary(self._name, *self._mode)
        edge.set_prefixes(in_shardings=placings, out_shardings=self._out_shardings)
        values = [x if isinstance(x, _Placing) else _Placing(x, False) for x in edge.inputs.values]
        complete = [x.is_donated or x.sharding is not None for x in values]

        call = self._call  # not of `self`: with the last reference to it all that it holds goes

        @noting
        def pure(outline: Any, *groups: Any) -> Any:
            inside = edge.enter(outline, groups)
            return inside.leave(call(inside, outline), complete=complete)

        pure.__name__ = pure.__qualname__ = self._name_of_function
        options = dict(self._options)
        before = [x.sharding for x in values]
        if any(x is not None for x in (*before, *edge.outputs.values)):
            options["in_shardings"] = (None, *before)
            options["out_shardings"] = (None, *before, *edge.outputs.values)
        donated = tuple(i + 1 for i, x in enumerate(values) if x.is_donated)
        if donated:
            options["donate_argnums"] = donated
        kept = tuple(i for i, all_return in enumerate(complete) if not all_return)
        return _Variant(edge, jax.jit(pure, **options), kept)

    def _giving_away(self, variant: _Variant) -> Donating | None:
        """Return what runs the function here and now, if it donates without being told."""
        if (self._donate or config.ramie_donate) != "auto" or not self._may_donate:
            return None
        if not (is_top_level() and can_tell()):
            return None
        if self._donating is None:
            name = self._name_of_function
            self._donating = Donating(name, self._call, variant.edge, **self._options)
        return self._donating

    def _taken_apart(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[_Variant, Operands]:
        if self._partial_args:
            args = self._partial_args + args
        if not self._static and not self._donated:
            variant = self._variants[None]
            return variant, variant.edge.take_apart((args, kwargs))
        donated = self._donated.among(len(args)) if self._donated else frozenset()
        note = None
        if self._static:
            names, numbers = self._static.names, self._static.numbers
            others, _ = without_statics(range(len(args)), numbers)
            donated = frozenset(new for new, i in enumerate(others) if i in donated)
            rest, fixed = without_statics(args, numbers)
            args = tuple(rest)
            note = _Static(fixed, tuple((k, type(x), x) for k, x in kwargs.items() if k in names))
            _check_hashable(note, self._name)
            kwargs = {k: x for k, x in kwargs.items() if k not in names}
        key: Hashable = (len(args), donated, tuple(kwargs)) if self._donated else None
        if key not in self._variants:
            placings = self._placings(self._in_shardings, donated, len(args), kwargs)
            self._variants[key] = self._variant(placings)
        variant = self._variants[key]
        return variant, variant.edge.take_apart((args, kwargs), note)

    # --- running ------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, compiled."""
        variant, operands = self._taken_apart(args, kwargs)
        for group in variant.kept:  # of the others all variables get what the program returns
            if np.ndarray in map(type, operands.groups[group]) and is_top_level():
                operands.move_to_device(group)
        donating = self._giving_away(variant)
        try:
            if donating is None:
                returned = variant.jitted(operands.outline, *operands.groups)
            else:
                returned = donating.run(operands)
        except TypeError:
            refuse_other_values(operands, self._name)
            raise
        return operands.write_back(returned)

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        return self if obj is None else functools.partial(self, obj)

    def staged(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Return the program for arguments, what it is called with, and what donates, or None."""
        variant, operands = self._taken_apart(args, kwargs)
        donating = self._giving_away(variant)
        if donating is None:
            return variant.jitted, (operands.outline, *operands.groups), None
        return donating.program(operands), (operands.outline, *operands.groups[0]), donating

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """Trace the function for these arguments, whose values do not matter."""
        program, operands, donating = self.staged(args, kwargs)
        return Traced(program.trace(*operands), self, donating)

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace and lower the function for these arguments, whose values do not matter."""
        program, operands, donating = self.staged(args, kwargs)
        return Lowered(program.lower(*operands), self, donating)

    def eval_shape(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output with shapes and dtypes in place of arrays; arguments do not change."""
        variant, operands = self._taken_apart(args, kwargs)
        return operands.only_output(variant.jitted.eval_shape(operands.outline, *operands.groups))

    def clear_cache(self) -> None:
        """Forget all that was compiled."""
        for variant in self._variants.values():
            variant.jitted.clear_cache()
        self._donating = None


def _called(fun: Callable[..., Any], share_traces: bool | None, inside: Any, outline: Any) -> Any:
    """Call a function with arguments that were put together inside of a trace."""
    args, kwargs = inside.tree
    if outline.note is not None:
        args = with_statics(args, outline.note.args)
        kwargs = {**kwargs, **{name: value for name, _, value in outline.note.kwargs}}
    return shared_call(share_traces, fun, args, kwargs)


def _check_hashable(static: _Static, name: str) -> None:
    for where, _, value in (*static.args, *static.kwargs):
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"nnx.{name} got a static argument without a hash: {value!r} of type "
                f"{type(value).__name__} as argument {where!r}. Compiled functions are looked up "
                "by static arguments: use a tuple in place of a list, for example."
            ) from None


def jit(
    fun: Any = MISSING,
    *,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: Indices = None,
    static_argnames: Names = None,
    donate_argnums: Indices = None,
    donate_argnames: Names = None,
    donate: str | None = None,
    share_traces: bool | None = None,
    keep_unused: bool = False,
    device: jax.Device | None = None,
    backend: str | None = None,
    inline: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Compile a function of modules, variables and other pytrees; `jax.jit` for NNX.

    What the function does to modules and variables in its arguments happens to those of the
    caller. It is traced again for other shapes, other structure and other static values. Of
    variables only those that the function stores to are returned by the compiled program.

    Args:
      fun: the function; without one, a decorator is returned.
      in_shardings: a sharding for all arguments, or a tuple of one for each; a `StateSharding` has
        one for each variable of a module. None leaves it to JAX.
      out_shardings: the same for the output.
      static_argnums: positions of arguments that are hashable and constants in the program.
      static_argnames: names of such.
      donate_argnums: positions of arguments whose buffers may be reused.
      donate_argnames: names of such.
      donate: "auto" to reuse the buffers of the variables which the function replaces, unless
        something else can reach them; the first call finds out which these are. "named" to reuse
        those of `donate_argnums` and `donate_argnames` only. None for what the flag `ramie_donate`
        says; it does not bear on functions with shardings or named arguments.
      share_traces: whether modules inside that agree are traced once, see `nnx.share_traces`; None
        for what the ``with`` block around the call says, or the flag `ramie_share_traces`.
      keep_unused: whether unused values are passed to the compiled program.
      device: as for `jax.jit`.
      backend: as for `jax.jit`.
      inline: whether the program becomes part of the caller's.
      graph: graph mode, where modules may be shared, or tree mode; by default as
        `set_graph_mode` says.
      graph_updates: whether changes of structure reach the caller; by default as
        `set_graph_updates` says, never in tree mode.

    Returns:
      The compiled function, with methods `lower`, `trace`, `eval_shape` and `clear_cache`.

    Raises:
      ValueError: for a bound method; for prefixes that do not go with the mode; for donate="auto"
        together with named arguments or shardings.

    Example:
        >>> from ramie import nnx
        >>> @nnx.jit
        ... def count(variable):
        ...     variable[...] += 1
        >>> steps = nnx.Variable(0)
        >>> count(steps)
        >>> int(steps)
        1
    """
    made = functools.partial(
        _compiled,
        "jit",
        in_shardings=in_shardings,
        out_shardings=out_shardings,
        static=(static_argnums, static_argnames),
        donated=(donate_argnums, donate_argnames),
        donate=donate,
        share_traces=share_traces,
        modes=(graph, graph_updates),
        keep_unused=keep_unused,
        device=device,
        backend=backend,
        inline=inline,
    )
    return made if fun is MISSING else made(fun)


def _compiled(
    name: str,
    fun: Callable[..., Any],
    *,
    partial_args: tuple[Any, ...] = (),
    static: tuple[Indices, Names],
    donated: tuple[Indices, Names],
    donate: str | None,
    share_traces: bool | None,
    in_shardings: Any,
    out_shardings: Any,
    modes: tuple[bool | None, bool | None],
    **options: Any,
) -> JitWrapped:
    """Make what `jit` and `jit_partial` return."""
    refuse_bound_method(fun, name)
    if donate not in (None, "auto", "named"):
        raise ValueError(
            f'nnx.{name} got donate={donate!r}. It is "auto", "named", or None for what the flag '
            "ramie_donate says."
        )
    if share_traces not in (None, True, False):
        raise ValueError(
            f"nnx.{name} got share_traces={share_traces!r}. It is True, False, or None for what "
            "nnx.share_traces or the flag ramie_share_traces says."
        )
    named = {
        "donate_argnums": donated[0],
        "donate_argnames": donated[1],
        "in_shardings": in_shardings,
        "out_shardings": out_shardings,
    }
    for other, value in named.items():
        if donate == "auto" and value is not None:
            raise ValueError(
                f'nnx.{name} got donate="auto" and {other}. Which variables are donated then '
                "follows from the function and from where their arrays lie: leave one of them out."
            )
    return JitWrapped(
        fun,
        in_shardings,
        out_shardings,
        _Chosen(fun, *static),
        _Chosen(fun, *donated),
        *modes,
        partial_args,
        name,
        donate,
        share_traces,
        **{key: value for key, value in options.items() if value},  # the others are JAX's defaults
    )


def jit_partial(
    fun: Callable[..., Any],
    *partial_args: Any,
    in_shardings: Any = None,
    out_shardings: Any = None,
    static_argnums: Indices = None,
    static_argnames: Names = None,
    donate_argnums: Indices = None,
    donate_argnames: Names = None,
    donate: str | None = None,
    share_traces: bool | None = None,
    keep_unused: bool = False,
    device: jax.Device | None = None,
    backend: str | None = None,
    inline: bool = False,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> JitWrapped:
    """Compile a function whose first arguments are given once; they are updated by each call.

    Args:
      fun: the function.
      *partial_args: its first arguments.
      in_shardings: see `jit`; those of the given arguments come first, and positions count them.
      out_shardings: see `jit`, as all others.
      static_argnums: ...
      static_argnames: ...
      donate_argnums: ...
      donate_argnames: ...
      donate: ...
      share_traces: ...
      keep_unused: ...
      device: ...
      backend: ...
      inline: ...
      graph: ...
      graph_updates: ...

    Returns:
      The compiled function of the other arguments.

    Raises:
      ValueError: in tree mode, if something is shared between the given arguments.

    Example:
        >>> from ramie import nnx
        >>> model = nnx.Dict(scale=nnx.Param(3.0))
        >>> step = nnx.jit_partial(lambda model, x: model.scale * x, model)
        >>> float(step(2.0))
        6.0
    """
    wrapped = _compiled(
        "jit_partial",
        fun,
        partial_args=partial_args,
        in_shardings=in_shardings,
        out_shardings=out_shardings,
        static=(static_argnums, static_argnames),
        donated=(donate_argnums, donate_argnames),
        donate=donate,
        share_traces=share_traces,
        modes=(graph, graph_updates),
        keep_unused=keep_unused,
        device=device,
        backend=backend,
        inline=inline,
    )
    Boundary("jit_partial", graph, graph_updates).take_apart((partial_args, {}))
    return wrapped


def cached_partial(
    f: Callable[..., Any],
    *cached_args: Any,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Callable[..., Any]:
    """Give the first arguments of a transformed function once.

    The function gets copies of the modules, made of the same variables: values are shared with the
    caller's modules, later changes to their structure are not.

    Args:
      f: the function, of `jit` usually.
      *cached_args: its first arguments.
      graph: see `jit`.
      graph_updates: accepted, and without effect: `f` has its own.

    Returns:
      A function of the other arguments. It raises ValueError if `f` changed the structure of a
      given one, since the caller's module would not see it.

    Differs from Flax: nothing is to be gained. Every call of `jit` recalls structures that did not
    change.
    """
    del graph_updates
    copies = clone(cached_args, variables=False, graph=graph)
    known = [flatten(copy)[0] for copy in copies]

    @functools.wraps(f)
    def with_cached(*args: Any, **kwargs: Any) -> Any:
        output = f(*copies, *args, **kwargs)
        for number, (copy, structure) in enumerate(zip(copies, known, strict=True)):
            if flatten(copy)[0] != structure:
                raise ValueError(
                    f"The graph structure of a node added to cached_partial was mutated inside the "
                    f"transformation, this is not allowed: argument {number}, a "
                    f"{type(copy).__name__}. Pass it at each call, and what is added comes back."
                )
        return output

    return with_cached
