"""Which instruction of a program makes an array."""

from ramie.training.plan.hlo import Computation, Instruction, Program
from ramie.training.plan.names import module_of

__all__ = ["Makers"]

_MOVING = ("bitcast", "convert", "copy", "reshape", "transpose")


class Makers:
    """Finds what makes an array.

    The stack of all results of a loop is made by what writes one part of it after the other, which
    the loop does, not the module. Of it the maker is what computes these parts.

    Args:
      program: the program.
    """

    def __init__(self, program: Program) -> None:
        self._computations = program.computations
        self._homes: dict[str, Computation] = {}
        self._fusions: dict[int, Instruction] = {}
        for computation in program.computations.values():
            for name, one in computation.instructions.items():
                self._homes[name] = computation
                if one.opcode == "fusion" and one.called:
                    self._fusions[id(self._computations.get(one.called[0]))] = one

    def of(self, name: str, index: tuple[int, ...] = ()) -> Instruction | None:
        """Return what makes an array, None where that is not said.

        Args:
          name: of an instruction.
          index: which of its results is meant, if it has several.
        """
        home = self._homes.get(name)
        if home is None:
            return None
        one = home.instructions[name]
        part = self._part(home, one, index)
        if part is not None and len(module_of(part.path)) > len(module_of(one.path)):
            return part
        return one

    def _part(
        self, home: Computation, one: Instruction, index: tuple[int, ...]
    ) -> Instruction | None:
        """Return what computes the parts that an instruction writes into an array."""
        home, writing = self._inside(home, one, index)
        if writing is None or writing.opcode != "dynamic-update-slice":
            return None
        part = _moved(home, writing.operands[1])
        caller = self._fusions.get(id(home))
        if part is None or part.opcode != "parameter" or caller is None:
            return part
        outside = self._homes[caller.name]
        fed = _moved(outside, caller.operands[int(part.inside)])
        if fed is not None and fed.opcode == "get-tuple-element":
            number = int(fed.attribute("index"))
            source = outside.instructions.get(fed.operands[0])
            if source is not None and source.opcode == "fusion":
                return self._inside(outside, source, (number,))[1]
        return fed

    def _inside(
        self, home: Computation, one: Instruction, index: tuple[int, ...]
    ) -> tuple[Computation, Instruction | None]:
        """Return what a fusion does last for a result, and where that stands."""
        inner = self._computations.get(one.called[0]) if one.called else None
        if one.opcode != "fusion" or inner is None:
            return home, one
        root = inner.instructions[inner.root]
        if root.opcode != "tuple":
            return inner, _moved(inner, root.name)
        if len(index) != 1 or index[0] >= len(root.operands):
            return inner, None
        return inner, _moved(inner, root.operands[index[0]])


def _moved(computation: Computation, name: str) -> Instruction | None:
    """Return what made an array that may have been moved since."""
    one = computation.instructions.get(name)
    while one is not None and one.opcode in _MOVING and one.operands:
        one = computation.instructions.get(one.operands[0])
    return one
