"""What all transformations share: arguments taken apart outside, put together inside, and back.

A transformation of JAX sees arrays only. So the arguments, any pytrees with modules and variables
in them, are taken apart into an `Outline`, which is static, and groups of values, one group per
prefix (see `prefixes`). Inside, the outline is built with the traced values; the function runs;
what it changed and returned is taken apart in the same manner. Outside, changes are written to the
objects of the caller. Three moments, three classes: `Operands`, `Inside`, `Result`.

How to write a transformation::

    def vmap(f, *, in_axes=0, out_axes=0, graph=None, graph_updates=None):
        edge = Boundary("vmap", graph, graph_updates)
        edge.set_prefixes(in_axes=(in_axes, 0), out_axes=out_axes)  # (args, kwargs), output

        def pure(outline, *groups):  # one list of values per input prefix
            inside = edge.enter(outline, groups)
            args, kwargs = inside.tree
            return inside.leave(f(*args, **kwargs))  # (Result, *groups): inputs', then outputs'

        mapped = jax.vmap(
            pure,
            in_axes=(None, *edge.inputs.values),
            out_axes=(None, *edge.inputs.values, *edge.outputs.values),
        )

        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            operands = edge.take_apart((args, kwargs))
            return operands.write_back(mapped(operands.outline, *operands.groups))

        return wrapper

What to know beyond that:

- Outlines and Results are pytrees without leaves: JAX passes them on and retraces for others.
  `Result` comes out of a traced function through its output structure, once per trace.
- `leave` returns a variable's value only if the function stored another one; ``complete=True``, or
  one bool per input group, returns all of these. Use it where the caller's buffers go away
  (donation), and where several functions must return the same structure: branches, loops.
- Loops that carry their arguments call ``inside.values()`` in place of `leave`: the input groups
  again, with the current values; it refuses a changed structure. ``operands.store(groups)`` writes
  such groups back.
- A prefix may say more than JAX's parameter: the groups are ``edge.inputs.values`` in order, so
  `jax.grad` differentiates those whose prefix says so, and `scan` carries those with ``Carry``.
- ``operands.paths(group)``, ``operands.leaves(group)`` and ``inside.leaves(group)`` tell which
  leaves are in a group: paths through (args, kwargs), the caller's objects, those inside.
- In graph mode without updates, and in tree mode, the structure of arguments cannot change, and
  outputs cannot be objects that were passed in; `enter` and `leave` see to that themselves.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ramie.nnx.modes import set_graph_mode, set_graph_updates
from ramie.nnx.transforms.arguments.inside import Inside
from ramie.nnx.transforms.arguments.operands import Operands
from ramie.nnx.transforms.arguments.outline import Outline
from ramie.nnx.transforms.arguments.prefixes import Mode, Prefixes

__all__ = ["Boundary", "refuse_bound_method"]


def refuse_bound_method(f: Callable[..., Any], name: str) -> None:
    """Check that a function is no method of an object already.

    Raises:
      ValueError: if it is; the object would be a constant, and not change.
    """
    if hasattr(f, "__self__") and hasattr(f, "__func__"):
        raise ValueError(
            f"nnx.{name} does not support bound methods: the object they belong to is no argument, "
            f"so its changes would be lost. Decorate the method in the class with @nnx.{name}, or "
            f"call nnx.{name}({type(f.__self__).__name__}.{f.__func__.__name__})(instance, ...)."
        )


class Boundary:
    """What stands between a function and a transformation of JAX.

    Args:
      name: the transformation, without ``nnx.``.
      graph: graph mode or tree mode; None for what `set_graph_mode` says.
      graph_updates: whether structure may change; None for what `set_graph_updates` says. Never
        in tree mode.

    Attributes:
      mode: the decisions.
      inputs: prefixes of the arguments.
      outputs: prefixes of the output.
      last: the outline of the arguments of the last call.
    """

    def __init__(
        self, name: str, graph: bool | None = None, graph_updates: bool | None = None
    ) -> None:
        graph = set_graph_mode.current_value() if graph is None else graph
        if graph_updates is None:
            graph_updates = set_graph_updates.current_value()
        self.mode = Mode(bool(graph), bool(graph and graph_updates), name)
        self.inputs = self.outputs = Prefixes(None, "prefixes", self.mode)
        self.last: Outline | None = None

    def set_prefixes(self, **trees: Any) -> None:
        """Set the prefixes of the arguments, then those of the output, under their names.

        Raises:
          ValueError: if something in them cannot be a prefix in this mode.
        """
        (in_name, inputs), (out_name, outputs) = trees.items()
        self.inputs = Prefixes(inputs, in_name, self.mode)
        self.outputs = Prefixes(outputs, out_name, self.mode)

    # --- outside ------------------------------------------------------------------------------

    def take_apart(self, tree: Any, note: Any = None) -> Operands:
        """Take arguments apart.

        Args:
          tree: usually ``(args, kwargs)``.
          note: something hashable to be had inside as ``outline.note``, such as static arguments.

        Raises:
          ValueError: in tree mode, if something is shared or no tree; if the prefixes do not fit,
            or differ for one variable.
        """
        return Operands(self, tree, note)

    def enter(self, outline: Outline, groups: Sequence[Sequence[Any]]) -> Inside:
        """Put arguments together inside of a transformation.

        Args:
          outline: their outline.
          groups: the values.
        """
        return Inside(self, outline, groups)
