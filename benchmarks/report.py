"""Turning measurements into `RESULTS.md`."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable

from benchmarks.measure import Ratio, Series, ratio
from benchmarks.processes import CHECKED, NEVER

PACKAGES = ("ramie", "flax", "jax", "jaxlib", "numpy")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay rows out as a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Describe what the numbers depend on, without telling which machine it was."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Python {platform.python_version()}; {versions}. {platform.system()} on "
        f"{platform.machine()}, {os.cpu_count()} CPU cores; load averages at the end: {load}."
    )


def _ratio(found: Ratio | None, failure: str) -> str:
    if found is None:
        return f"failed: {failure}"
    return f"{found.of_minima:.2f}x / {found.of_medians:.2f}x ({found.low:.2f} to {found.high:.2f})"


def ratio_text(of: Series, to: Series) -> str:
    """Write how much longer one contender took than another."""
    return _ratio(ratio(of, to), of.failure or to.failure)


def _seconds(series: Series, digits: int = 3) -> str:
    return "failed" if series.failure else f"{min(series.times):.{digits}f}"


def comparison(
    workloads: dict[str, dict[str, Series]], yardstick: str, bars: dict[str, str]
) -> str:
    """Tabulate ratios of each library to the yardstick, and the yardstick's own seconds."""
    rows = []
    for workload, series in workloads.items():
        base = series[yardstick]
        ratios = [
            _ratio(ratio(series[name], base), series[name].failure or base.failure)
            for name in ("ramie", "flax")
        ]
        rows.append([workload, *ratios, bars.get(workload, ""), _seconds(base)])
    header = ["workload", "ramie", "flax", "bar for ramie", f"{yardstick}, s"]
    return table(header, rows)


def counts(found: dict[str, dict[str, int]]) -> str:
    """Say in a sentence how many things each contender has, by case."""
    cases = (
        f"{case} " + ", ".join(f"{name} {count}" for name, count in each.items())
        for case, each in found.items()
    )
    return "; ".join(cases) + "."


def cold_init(series: dict[str, Series]) -> str:
    """Tabulate the CPU seconds of the first un-jitted init."""
    found = ratio(series["flax"], series["ramie"])
    bars = {"ramie": "4"}
    rows = [
        [name, _seconds(times, 1), bars.get(name, ""), times.failure]
        for name, times in series.items()
    ]
    rows.append(["flax / ramie", _ratio(found, "see above"), "6x", ""])
    cost = ratio(series[CHECKED], series[NEVER])
    rows.append(["ramie / the same, nothing compared", _ratio(cost, "see above"), "1.02x", ""])
    return table(["library", "CPU s", "bar for ramie", "remark"], rows)


def contenders(
    times: dict[str, Series], peaks: dict[str, float], yardstick: str, bar: str, megabytes: int
) -> str:
    """Tabulate contenders one below the other: ratio to the yardstick, seconds, and memory."""
    base = times[yardstick]
    rows = [
        [
            name,
            _ratio(ratio(series, base), series.failure or base.failure),
            bar if name.startswith("ramie") else "",
            _seconds(series),
            f"{peaks[name] / megabytes:.2f}x" if name in peaks else "",
        ]
        for name, series in times.items()
    ]
    return table(["contender", f"to {yardstick}", "bar", "s", "extra memory"], rows)


def replace_table(page: str, heading: str, new: str) -> str:
    """Put a table in the place of the one in a section of a page; other text stays."""
    before, found, rest = page.partition(f"\n{heading}\n")
    section, following, after = rest.partition("\n## ")
    lines = section.splitlines()
    rows = [index for index, line in enumerate(lines) if line.startswith("|")]
    if not found or not rows:
        raise ValueError(f"the page has no table under {heading!r} to replace")
    lines[rows[0] : rows[-1] + 1] = new.splitlines()
    return before + found + "\n".join(lines) + ("\n" if following else "") + following + after
