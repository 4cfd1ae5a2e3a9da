"""A picture of the memory of a device by kind: one bar for each mesh."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ramie import errors
from ramie.cli.plan.meshes import described
from ramie.cli.plan.report import Row, parts

__all__ = ["FORMATS", "check", "draw"]

FORMATS = ("png", "svg", "pdf")
"""The ends of the names of files; Matplotlib needs other programs for some more."""

_COLOURS = {
    "arguments": "#1e6fb8",
    "outputs": "#2e8b57",
    "temporaries": "#d9730d",
    "code": "#7b4fa3",
    "not named": "#90a4ae",
}
_ROOM = "#d1242f"
_GIB = 2**30
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "ramie", "font.family": "sans-serif"}


def check() -> None:
    """Find out before something is compiled, not after it, that pictures cannot be drawn.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise errors.MissingExtraError("matplotlib", "plan", "draw the memory") from error


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw the memory of a device by kind, a bar for each mesh, against what the device has.

    Args:
      rows: the meshes, from above; those without a plan are left out.
      title: what stands above.
      path: where the picture goes; the end of the name says its format.
    """
    import matplotlib
    from matplotlib.figure import Figure

    plans = [(described(row.mesh), row.plan.memory) for row in rows if row.plan]
    with matplotlib.rc_context(_SETTINGS):
        figure: Any = Figure(figsize=(8, 1.5 + 0.45 * len(plans)), layout="constrained")
        axes = figure.subplots()
        seen: set[str] = set()
        for place, (_, memory) in enumerate(plans):
            left = 0.0
            for kind, size in parts(memory).items():
                label = "_" if kind in seen else kind
                seen.add(kind)
                colour = _COLOURS[kind]
                axes.barh(place, size / _GIB, left=left, color=colour, label=label, height=0.6)
                left += size / _GIB
            axes.annotate(
                f"{left:.1f}", (left, place), (4, 0), textcoords="offset points", va="center"
            )
        available = next((memory.available for _, memory in plans if memory.available), None)
        if available:
            room = f"{available / _GIB:.2f} GiB a chip"
            axes.axvline(available / _GIB, color=_ROOM, linestyle="--", label=room)
        axes.margins(x=0.08)
        axes.set_yticks(range(len(plans)), [name for name, _ in plans])
        axes.invert_yaxis()
        axes.set_xlabel("memory of a device, GiB")
        axes.grid(axis="x", color="#e6e8eb", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(title, loc="left")
        figure.legend(
            loc="outside lower center",
            ncols=len(_COLOURS) + 1,
            frameon=False,
            fontsize=9,
            handlelength=1.4,
            columnspacing=1.4,
        )
        # Without the date, so that the same plan is the same file.
        metadata = {"Date": None} if path.suffix.lower() in (".svg", ".svgz") else None
        figure.savefig(path, dpi=150, metadata=metadata)
