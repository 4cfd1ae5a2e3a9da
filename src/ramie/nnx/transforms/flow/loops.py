"""Loops that carry modules and variables: while_loop and fori_loop."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
from jax.tree_util import tree_flatten

from ramie.nnx.graph.structure import LEAF, GraphDef, VariableDef
from ramie.nnx.graph.walk import has_identity, members, rebuilt, walk
from ramie.nnx.modules.places import noting
from ramie.nnx.objects.pytree import Pytree
from ramie.nnx.transforms.arguments.boundary import Boundary
from ramie.nnx.transforms.arguments.inside import Inside
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.repeats import Given, Repeatable, repeated
from ramie.nnx.transforms.arguments.statics import with_cells
from ramie.nnx.variable.base import Variable

__all__ = ["fori_loop", "while_loop"]

T = TypeVar("T")


def while_loop(
    cond_fun: Callable[[T], Any],
    body_fun: Callable[[T], T],
    init_val: T,
    *,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> T:
    """Call a function on what it returned, as long as a condition holds.

    Args:
      cond_fun: tells from what is carried whether to go on. What it changes is dropped.
      body_fun: returns what is carried on: the same variables in the same structure, and values
        of the same shapes and dtypes. It may change the values of the variables.
      init_val: what is carried into the first round: any pytree of values and modules.
      graph: graph mode or tree mode; by default as `set_graph_mode` says.
      graph_updates: whether the modules themselves are returned, in graph mode, or others that
        hold the same variables; by default as `set_graph_updates` says.

    Returns:
      What the last round returned. The variables of `init_val` got their values.

    Raises:
      ValueError: if `body_fun` returns another structure or other variables, or something is
        shared that the mode refuses.
      TypeError: if shapes or dtypes change.

    Example:
        >>> import jax.numpy as jnp
        >>> from ramie import nnx
        >>> total = nnx.Variable(jnp.array(0))
        >>> def body(carry):
        ...     total, i = carry
        ...     total[...] += i
        ...     return total, i + 1
        >>> _, i = nnx.while_loop(lambda carry: carry[1] < 4, body, (total, 0))
        >>> int(total[...]), int(i)
        (6, 4)
    """
    edge = Boundary("while_loop", graph, graph_updates)
    carried = _Carried(edge, init_val)
    loop = repeated(_While, edge, (cond_fun, body_fun), carried.given)
    _, final = jax.lax.while_loop(loop.goes_on, loop.body, (carried.given, carried.given.values))
    loop.settle()
    out: T = carried.finish(final, loop.changes_of(carried.given))
    return out


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, T], T],
    init_val: T,
    *,
    unroll: int | bool | None = None,
    graph: bool | None = None,
    graph_updates: bool | None = None,
) -> T:
    """Call a function for each number of a range, on what it returned before.

    Args:
      lower: the first number.
      upper: the end of the range, not in it.
      body_fun: gets the number and what is carried; see `while_loop`. If structure may change, it
        may also return new modules and variables of the same structure in place of the old ones.
      init_val: what is carried into the first round.
      unroll: how many rounds to write out in a row.
      graph: see `while_loop`.
      graph_updates: see `while_loop`.

    Returns:
      What the last round returned. The variables of `init_val` got their values.

    Raises:
      ValueError: if `body_fun` returns another structure or other variables, or something is
        shared that the mode refuses.
      TypeError: if shapes or dtypes change.

    Example:
        >>> from ramie import nnx
        >>> int(nnx.fori_loop(0, 4, lambda i, total: total + i, 0))
        6
    """
    edge = Boundary("fori_loop", graph, graph_updates)
    carried = _Carried(edge, init_val)
    loop = repeated(_For, edge, (body_fun,), carried.given)
    _, final = jax.lax.fori_loop(
        lower, upper, loop.body, (carried.given, carried.given.values), unroll=unroll
    )
    loop.settle()
    out: T = carried.finish(final, loop.changes_of(carried.given))
    return out


class _Changes:
    """What rounds of a loop did.

    Attributes:
      changed: numbers of the leaves with another value.
      renewed: numbers of the leaves that are other variables.
      renewed_roots: numbers of the roots that are other modules.
    """

    def __init__(self) -> None:
        self.changed: set[int] = set()
        self.renewed: set[int] = set()
        self.renewed_roots: set[int] = set()


class _Loop(Repeatable):
    """The functions of a loop, as those that JAX runs on values.

    A round may return new modules and variables of the same structure if `may_renew`. Those that
    were carried in first keep their values then, and new ones come out.
    """

    may_renew = False

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(edge, functions)
        self._changes: dict[Given, _Changes] = {}

    def changes_of(self, given: Given) -> _Changes:
        """Return what rounds did to what was carried in; nothing if there were none."""
        return self._changes.setdefault(given, _Changes())

    def enter(self, given: Given, values: Any) -> Inside:
        """Put together what is carried."""
        self.was_traced = True
        return self.edge.enter(given.outline, (with_cells(values, given.cells),))

    def leave(self, given: Given, inside: Inside, out: Any) -> tuple[Given, list[Any]]:
        """Return the values of what a round returned.

        Raises:
          ValueError: if it is not what was carried in.
        """
        outline, name = given.outline, self.edge.mode.name
        roots, treedef = tree_flatten(out, is_leaf=has_identity)
        if treedef != outline.treedef:
            raise ValueError(
                f"nnx.{name} requires that its function returns the same pytree structure as it "
                f"carries in, which is {outline.treedef}, but it returned {treedef}."
            )
        found = _leaves_like(outline, roots)
        before = inside.leaves(0)
        if found is None:
            raise ValueError(
                f"nnx.{name} requires that its function keeps the reference and pytree structure "
                "of what is carried, but attributes, metadata, classes or sharing of its modules "
                "differ in what it returned. Only values may change: write "
                "variable[...] = value in place of module.name = nnx.Param(value)."
            )
        changes = self.changes_of(given)
        self._check_identity(outline, changes, inside, roots, found)
        changes.changed |= inside.changed() | {
            number
            for number, (old, new) in enumerate(zip(before, found, strict=True))
            if old is not new
        }
        return given, [
            x.get_raw_value() if isinstance(x, Variable) else x
            for number, x in enumerate(found)
            if number not in given.cells
        ]

    def _check_identity(
        self,
        outline: Outline,
        changes: _Changes,
        inside: Inside,
        roots: Sequence[Any],
        found: Sequence[Any],
    ) -> None:
        """Check that a round returned the variables that were carried in.

        Args:
          outline: of what was carried in.
          changes: gets what was renewed.
          inside: what was carried in.
          roots: what was returned.
          found: its variables and values.

        Raises:
          ValueError: if it did not, unless it returned new ones in new modules, and may do so.
        """
        before = inside.leaves(0)
        known = set(map(id, before))
        own_roots, _ = tree_flatten(inside.tree, is_leaf=has_identity)
        for number, (old, new) in enumerate(zip(before, found, strict=True)):
            if new is old or not isinstance(old, Variable | jax.Ref):
                continue
            path = outline.paths()[number]
            root, inner, _ = list(outline.leaves_by_root())[number]
            is_renewed = self.may_renew and id(new) not in known and isinstance(old, Variable)
            if is_renewed and not (inner and roots[root] is own_roots[root]):
                changes.renewed.add(number)
                pairs = zip(roots, own_roots, strict=True)
                changes.renewed_roots |= {
                    i for i, (x, own) in enumerate(pairs) if x is not own and has_identity(x)
                }
                continue
            raise ValueError(
                f"nnx.{self.edge.mode.name}: Variable identity must be preserved across "
                f"iterations, but its function returned another {type(new).__name__} at path "
                f"{path} than was carried in. Change its value instead: variable[...] = value."
            )


class _While(_Loop):
    """A condition and the body of a loop."""

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(edge, functions)
        cond_fun, body_fun = functions

        @noting
        @functools.wraps(cond_fun)  # JAX says in messages where the function is
        def goes_on(carry: tuple[Given, Any]) -> Any:
            go_on = self.functions[0](self.enter(*carry).tree)
            return go_on.get_value() if isinstance(go_on, Variable) else go_on

        @noting
        @functools.wraps(body_fun)
        def body(carry: tuple[Given, Any]) -> Any:
            inside = self.enter(*carry)
            return self.leave(carry[0], inside, self.functions[1](inside.tree))

        self.goes_on, self.body = goes_on, body


class _For(_Loop):
    """The body of a loop that counts."""

    def __init__(self, edge: Boundary, functions: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(edge, functions)
        self.may_renew = edge.mode.updates
        (body_fun,) = functions

        @noting
        @functools.wraps(body_fun)
        def body(i: Any, carry: tuple[Given, Any]) -> Any:
            inside = self.enter(*carry)
            return self.leave(carry[0], inside, self.functions[0](i, inside.tree))

        self.body = body


class _Carried:
    """What a loop carries, outside of it.

    Args:
      edge: the boundary.
      tree: what is carried into the first round.

    Attributes:
      given: its structure, with its values.
    """

    def __init__(self, edge: Boundary, tree: Any) -> None:
        self._edge = edge
        self._tree = tree
        self._operands: Operands = edge.take_apart(tree)
        self.given = Given(self._operands)

    def finish(self, values: Sequence[Any], changes: _Changes) -> Any:
        """Write the final values to the variables, and return what the last round did."""
        operands, outline = self._operands, self.given.outline
        values = with_cells(values, self.given.cells)
        changed, renewed = changes.changed, changes.renewed
        operands.store((values,), only=changed - renewed - self.given.cells.keys())
        leaves = [
            old if has_identity(old) and number not in renewed else new
            for number, (old, new) in enumerate(zip(operands.leaves(0), values, strict=True))
        ]
        if not self._edge.mode.updates:
            return outline.tree(outline.roots(leaves))
        roots, _ = tree_flatten(self._tree, is_leaf=has_identity)
        if renewed:
            made = outline.roots(leaves)
            roots = [made[i] if i in changes.renewed_roots else x for i, x in enumerate(roots)]
        for number, (root, path, kind) in enumerate(outline.leaves_by_root()):
            if kind is not LEAF or root in changes.renewed_roots:
                continue
            if not path:
                roots[root] = leaves[number]
            elif number in changed:
                _put(roots[root], path, leaves[number])
        return outline.tree(roots)


def _leaves_like(outline: Outline, roots: Sequence[Any]) -> list[Any] | None:
    """Return variables and values in roots; None if their structure is not that of an outline."""
    if outline.shared:
        graphdef, leaves = walk(roots, several=True)
        return leaves if graphdef == outline.definitions[0] else None
    found: list[Any] = []
    for root, definition in zip(roots, outline.definitions, strict=True):
        if isinstance(definition, GraphDef):
            if not has_identity(root):
                return None
            graphdef, leaves = walk(root)
            if graphdef != definition:
                return None
            found.extend(leaves)
            continue
        if isinstance(definition, VariableDef):
            if not isinstance(root, Variable) or definition != (
                root._var_metadata.definition(root.__class__)
            ):
                return None
        elif has_identity(root) is (definition is LEAF):
            return None
        found.append(root)
    return found


def _put(parent: Any, path: Sequence[Any], value: Any) -> Any:
    """Replace an array inside of a module.

    Containers that cannot change are made again with it, and replaced in turn.

    Args:
      parent: the module, or something in it.
      path: where the array is.
      value: the other one.

    Returns:
      What takes the place of `parent`: itself, if it can change.
    """
    key, *rest = path
    if rest:
        inner = dict(members(parent))[key]
        value = _put(inner, rest, value)
        if value is inner:
            return parent
    if isinstance(parent, Pytree):
        setattr(parent, str(key), value)
    elif isinstance(parent, list | dict):
        place: Any = key
        parent[place] = value
    else:
        return rebuilt(parent, {key: value})
    return parent
