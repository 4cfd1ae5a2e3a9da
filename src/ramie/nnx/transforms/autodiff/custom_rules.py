"""custom_vjp: functions of modules whose derivatives the user writes."""

import functools
import inspect
import itertools
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.tree_util import tree_flatten

from ramie.nnx.graph.structure import LEAF, GraphDef
from ramie.nnx.graph.walk import build, has_identity
from ramie.nnx.modules.places import noting
from ramie.nnx.states.nested import nested
from ramie.nnx.states.state import State
from ramie.nnx.transforms.arguments.boundary import Boundary, refuse_bound_method
from ramie.nnx.transforms.arguments.checks import refuse_graph
from ramie.nnx.transforms.arguments.outline import Result, only_changed
from ramie.nnx.transforms.arguments.prefixes import Prefixes
from ramie.nnx.transforms.arguments.structures import part_of, with_gaps
from ramie.nnx.transforms.autodiff.differentiable import (
    AnyPrefix,
    ArgNum,
    DiffState,
    gradient_roots,
    roots_like,
    states_by_root,
    tangent_leaves,
    with_argnum,
)
from ramie.typing import MISSING

__all__ = ["CustomVjp", "custom_vjp"]


class _Constant:
    """An argument that is no array: part of the structure.

    Args:
      value: the argument.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


jax.tree_util.register_pytree_node(_Constant, lambda x: ((), x), lambda x, _: x)


class _Hidden(NamedTuple):
    """An argument, taken apart; what is no array in it is part of the structure.

    Attributes:
      leaves: its leaves; constants have none themselves.
      form: its structure.
    """

    leaves: list[Any]
    form: "_Form"


@jax.tree_util.register_static
class _Form(NamedTuple):
    """The structure of an argument.

    Attributes:
      treedef: with modules, variables and arrays as leaves, and all others.
    """

    treedef: Any


def _hidden(arg: Any) -> _Hidden:
    """Make what is no array part of the structure of an argument."""
    leaves, treedef = tree_flatten(arg, is_leaf=has_identity)
    return _Hidden(
        [x if has_identity(x) or isinstance(x, jax.Array) else _Constant(x) for x in leaves],
        _Form(treedef),
    )


def _shown(arg: _Hidden) -> Any:
    """Return the argument: `_hidden` backwards; None stands for what is missing."""
    leaves = [x.value if isinstance(x, _Constant) else x for x in arg.leaves]
    return with_gaps(arg.form.treedef, leaves)


class CustomVjp:
    """A function with derivatives of its own; see `custom_vjp`.

    Args:
      fun: the function.
      nondiff_argnums: what is not differentiated.
      graph: graph mode or tree mode.
      graph_updates: whether structure may change.

    Raises:
      ValueError: if `fun` is a bound method, or a DiffState is among `nondiff_argnums` in a mode
        without updates.
    """

    def __init__(
        self,
        fun: Callable[..., Any],
        nondiff_argnums: tuple[ArgNum, ...] = (),
        graph: bool | None = None,
        graph_updates: bool | None = None,
    ) -> None:
        refuse_bound_method(fun, "custom_vjp")
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.name = getattr(fun, "__name__", repr(fun))
        self.nondiff_argnums = nondiff_argnums
        self.fwd: Callable[..., tuple[Any, Any]] | None = None
        self.bwd: Callable[..., Any] | None = None
        self.mode = Boundary("custom_vjp", graph, graph_updates).mode
        Prefixes(nondiff_argnums, "nondiff_argnums", self.mode)  # says what may not be there

    def defvjp(
        self,
        fwd: Callable[..., tuple[Any, Any]],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
    ) -> None:
        """Define the derivatives; `custom_vjp` says how.

        Args:
          fwd: takes the arguments; returns the output, and what `bwd` needs to know.
          bwd: returns the gradients.
          symbolic_zeros: not available.

        Raises:
          NotImplementedError: if `symbolic_zeros` is asked for.
        """
        if symbolic_zeros:
            raise NotImplementedError(
                "nnx.custom_vjp does not pass symbolic zeros on; leave symbolic_zeros out, and "
                "`bwd` gets arrays of zeros."
            )
        self.fwd, self.bwd = fwd, bwd

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Be a method of a class."""
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function.

        Raises:
          AttributeError: if no derivatives are defined.
          ValueError: if something is shared that the mode refuses.
        """
        if self.fwd is None or self.bwd is None:
            raise AttributeError(
                f"No VJP defined for custom_vjp function {self.name} using defvjp. Call "
                f"{self.name}.defvjp(fwd, bwd) first."
            )
        if kwargs:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
            bound.apply_defaults()
            args = bound.args
        return _Call(self, args).run()


class _Call:
    """One call of a function with derivatives of its own.

    Args:
      rule: the function.
      args: its arguments.
    """

    def __init__(self, rule: CustomVjp, args: tuple[Any, ...]) -> None:
        self._rule = rule
        mode = rule.mode
        self._edge = Boundary("custom_vjp", mode.graph, mode.updates)
        entries = [with_argnum(entry, len(args)) for entry in rule.nondiff_argnums]
        self._fixed = {n for n, entry in entries if not isinstance(entry, DiffState)}
        prefixes: list[Any] = [number not in self._fixed for number in range(len(args))]
        for number, entry in entries:
            if isinstance(entry, DiffState):
                prefixes[number] = entry
        self._edge.set_prefixes(nondiff_argnums=tuple(prefixes), out=AnyPrefix())
        hidden = tuple(_hidden(x) if i in self._fixed else x for i, x in enumerate(args))
        try:
            self._operands = self._edge.take_apart(hidden)
        except ValueError:
            if not mode.updates:
                refuse_graph(args, mode)  # what is shared comes first
            raise
        outline = self._outline = self._operands.outline
        if outline.shared and not mode.updates:
            refuse_graph(args, mode)
        self._changed: set[int] = set()
        is_taken = self._edge.inputs.values
        self._needed = [is_taken[outline.place(n)] is True for n in range(outline.num_leaves)]
        self._values = outline.joined(self._operands.groups)

    def run(self) -> Any:
        """Call the function, and write to the arguments what it changed."""
        pure = jax.custom_vjp(self._forward_only)
        pure.defvjp(self._forward, self._backward)
        returned = pure(*self._dealt(self._values))
        return self._operands.write_back(only_changed(returned, self._changed))

    def _dealt(self, values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        pairs = list(zip(values, self._needed, strict=True))
        return [x for x, needed in pairs if needed], [x for x, needed in pairs if not needed]

    @noting
    def _called(self, f: Callable[..., Any], taken: Any, rest: Any, is_forward: bool) -> Any:
        """Call a function with arguments; return the output taken apart, and what else it gave."""
        following = iter(taken), iter(rest)
        values = [next(following[0 if needed else 1]) for needed in self._needed]
        groups: list[list[Any]] = [[] for _ in self._edge.inputs.values]
        for number, value in enumerate(values):
            groups[self._outline.place(number)].append(value)
        inside = self._edge.enter(self._outline, groups)
        out = f(*self._args(inside.tree))
        more = None
        if is_forward:
            if not isinstance(out, tuple) or len(out) != 2:
                raise TypeError(
                    f"The function fwd of {self._rule.name} must return a pair of the output "
                    f"and what bwd needs to know, but returned {type(out).__name__}."
                )
            out, more = out
        left = inside.leave(out, complete=True)
        self._changed |= inside.changed()
        return left, more

    def _args(self, tree: Sequence[Any]) -> list[Any]:
        return [_shown(x) if i in self._fixed else x for i, x in enumerate(tree)]

    def _forward_only(self, taken: Any, rest: Any) -> Any:
        return self._called(self._rule.fun, taken, rest, False)[0]

    def _forward(self, taken: Any, rest: Any) -> Any:
        fwd: Any = self._rule.fwd
        left, more = self._called(fwd, taken, rest, True)
        kept = Boundary("custom_vjp", True, False).take_apart(more)
        return left, (kept.outline, kept.groups, rest)

    # --- backward -----------------------------------------------------------------------------

    @noting
    def _backward(self, residual: Any, returned: Any) -> tuple[Any, None]:
        kept, groups, rest = residual
        mode, bwd = self._rule.mode, self._rule.bwd
        more = Boundary("custom_vjp", True, False).enter(kept, groups).tree
        outline, result = self._outline, returned[0]
        inputs, out_gradient = self._cotangents(result, returned[1:])
        left = iter(rest)
        roots = outline.roots([0.0 if x else next(left) for x in self._needed])
        fixed = [_shown(part_of(outline.treedef, roots, i)) for i in sorted(self._fixed)]
        options: dict[str, Any] = {}
        if mode.updates:
            gradients: Any = self._input_gradients(inputs), out_gradient
        else:
            gradients = out_gradient
            if "updates_g" in inspect.signature(bwd).parameters:  # type: ignore[arg-type]
                options["updates_g"] = self._update_gradients(inputs)
        found = bwd(*fixed, more, gradients, **options)  # type: ignore[misc]
        return self._tangents(found, roots), None

    def _tangents(self, found: Any, roots: Sequence[Any]) -> list[Any]:
        """Return what a user gave as gradients, as values.

        Args:
          found: the gradients.
          roots: stand where there are none.

        Raises:
          TypeError: if that is no gradient of the arguments.
        """
        arguments = self._outline.treedef.children()
        numbers = [i for i in range(len(arguments)) if i not in self._fixed]
        if not isinstance(found, tuple | list) or len(found) != len(numbers):
            size = f" of {len(found)}" if isinstance(found, tuple | list) else ""
            raise TypeError(
                f"The function bwd of {self._rule.name} must return a tuple with one gradient "
                f"for each of the {len(numbers)} differentiable arguments, but returned "
                f"{type(found).__name__}{size}."
            )
        given = dict(zip(numbers, found, strict=True))
        name = f"gradients that the function bwd of {self._rule.name} returned"
        whole: list[Any] = []
        for i, argument in enumerate(arguments):
            if given.get(i) is None:
                whole.extend(roots[len(whole) : len(whole) + argument.num_leaves])
            else:
                whole.extend(roots_like(argument, given[i], name))
        is_given = [
            needed and given.get(place) is not None
            for needed, place in zip(self._needed, self._argument_of_leaf(), strict=True)
        ]
        leaves = tangent_leaves(whole, self._outline, name, self._values, is_given)
        return self._dealt(leaves)[0]

    def _argument_of_leaf(self) -> list[Any]:
        return [path[0] for path in self._outline.paths()]

    def _cotangents(self, result: Result, groups: Sequence[Any]) -> tuple[dict[int, Any], Any]:
        """Return cotangents of the arguments as they were in the end, and those of the output.

        Args:
          result: what the function did.
          groups: cotangents of all it returned.

        Returns:
          By number of the leaf, and as a tree.
        """
        mode, outline = self._rule.mode, result.outline
        count = len(self._edge.inputs.values)
        if result.linked is None:
            flat = itertools.chain.from_iterable(groups[:count])
            found = dict(zip(result.written, flat, strict=True))
            leaves = outline.joined(groups[count:])
            return found, outline.tree(gradient_roots(outline, leaves, mode.updates))
        linked = result.linked
        made: list[Any] = []
        filled: list[Any] = []
        self._outline.roots([0.0] * self._outline.num_leaves, made, filled)
        numbers = {id(x): number for number, x in enumerate(filled)}
        following = [iter(group).__next__ for group in groups]
        found = {}
        pairs: list[dict[Any, Any]] = [{} for _ in range(outline.treedef.num_leaves)]
        graphdef = linked.graphdef
        for whole_path, kind, source, take in zip(
            graphdef.paths,
            graphdef.leaf_definitions,
            linked.leaf_sources,
            linked.takes,
            strict=True,
        ):
            if take < 0:
                continue
            value = following[take]()
            if source is not None:
                found[numbers[id(made[source])]] = value
                continue
            root: Any = whole_path[0]
            if root >= linked.num_inputs:
                value = value if kind is LEAF else kind.type._make(value, kind.metadata)
                pairs[root - linked.num_inputs][whole_path[1:]] = value
        return found, outline.tree(
            [x[()] if () in x else State(nested(x.items()), _copy=False) for x in pairs]
        )

    def _input_gradients(self, found: Mapping[int, Any]) -> tuple[Any, ...]:
        """Return for each differentiable argument its cotangent; None for values."""
        outline = self._outline
        roots = states_by_root(
            outline, [found.get(number, MISSING) for number in range(outline.num_leaves)]
        )
        for root, path, kind in outline.leaves_by_root():
            if kind is LEAF and not path:
                roots[root] = None
        tree = with_gaps(outline.treedef, roots)
        return tuple(x for i, x in enumerate(tree) if i not in self._fixed)

    def _update_gradients(self, found: Mapping[int, Any]) -> tuple[Any, ...]:
        """Return a tree like the arguments, with cotangents of changed variables, else None."""
        outline = self._outline
        leaves = [
            kind.type._make(found[number], kind.metadata)
            if number in self._changed and kind is not LEAF
            else None
            for number, (_, _, kind) in enumerate(outline.leaves_by_root())
        ]
        following = iter(leaves)
        roots = [
            build(definition, list(itertools.islice(following, definition.num_leaves)), boxed=False)
            if isinstance(definition, GraphDef)
            else next(following)
            for definition in outline.definitions
        ]
        tree = with_gaps(outline.treedef, roots)
        return tuple(_shown(x) if i in self._fixed else x for i, x in enumerate(tree))


def custom_vjp(
    fun: Any = MISSING,
    *,
    nondiff_argnums: tuple[ArgNum, ...] = (),
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> Any:
    """Give a function of modules derivatives of its own.

    Changes that the function makes to its arguments reach them. Define the derivatives with
    ``f.defvjp(fwd, bwd)``: `fwd` takes the arguments of the function and returns a pair of its
    output and what `bwd` needs to know. What `bwd` gets and returns depends on the mode.

    - If structure may change: ``bwd(*fixed, known, (inputs_g, out_g))``. There, `inputs_g` has for
      each argument the cotangent of what it was in the end: a State for a module, None for a
      value. It returns such a tuple of gradients, with values for values.
    - Else: ``bwd(*fixed, known, out_g)`` returns a tuple of trees like the arguments, with
      gradients inside: for a module another module. If it has a parameter `updates_g`, that gets a
      tuple of trees like the arguments, with cotangents of the variables that were changed, and
      None elsewhere.

    Args:
      fun: the function. Without it, a decorator is returned.
      nondiff_argnums: positions of arguments that are not differentiated, the `fixed` ones. If
        structure may change, a `DiffState` says which part of an argument is differentiated.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether changes of structure reach the arguments, in graph mode; by default as
        `set_graph_updates` says.

    Raises:
      ValueError: if `fun` is a bound method, or a DiffState is used where structure may not
        change; on calls, if something is shared that the mode refuses.

    Differs from Flax: arrays and variables may be among the fixed arguments wherever JAX traces,
    and a variable that the function did not change has its cotangent from later uses added, in
    place of passing it to `bwd`.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> @nnx.custom_vjp(graph=False)
        ... def clipped(m):
        ...     return m.w * 10
        >>> def forward(m):
        ...     return clipped(m), m
        >>> def backward(m, g):
        ...     m_g = nnx.clone(m)
        ...     m_g.w[...] = jnp.clip(g * 10, -1, 1)
        ...     return (m_g,)
        >>> clipped.defvjp(forward, backward)
        >>> grads = nnx.grad(clipped, graph=False)(nnx.Dict(w=nnx.Param(jnp.array(2.0))))
        >>> float(grads.w[...])
        1.0
    """
    if fun is MISSING:
        return functools.partial(
            custom_vjp, nondiff_argnums=nondiff_argnums, graph=graph, graph_updates=graph_updates
        )
    return CustomVjp(fun, nondiff_argnums, graph, graph_updates)
