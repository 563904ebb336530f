"""Figures of a benchmark as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from translate.profiling.compare import middle_and_spread, ratios

FIGURES = {
    "seconds_per_iteration": ("seconds an iteration", 1.0),
    "images_per_second": ("images a second", 1.0),
    "data_wait_share": ("waiting for data, share of time", 1.0),
    "peak_bytes": ("peak memory, GiB", 2.0**30),
    "operations_per_iteration": ("operations an iteration, G", 1e9),
    "share_of_machine": ("share of the machine's rate", 1.0),
}
"""Figure -> (what a table calls it, its unit)."""


def alone(found: Mapping[str, Any]) -> str:
    """Return the tables of one configuration: whole iterations, then where their time goes."""
    seconds, middle = found["seconds"], found["seconds_per_iteration"]
    rates = ", ".join(f"{name} {value / 1e9:.4g} G/s" for name, value in found["machine_operations_per_second"].items())
    plan, environment = found["plan"], found["environment"]
    packages = environment["packages"]
    device = environment["gpus"][0] if found["device"].startswith("cuda") else f"{environment['threads']} CPU threads"
    lines = [
        f"{plan['iterations']} iterations after {plan['warmup']}, on {device}, torch {packages.get('torch')}",
        f"{'seconds an iteration':<28}{middle:.4g} (from {min(seconds):.4g} to {max(seconds):.4g})",
        f"{'images a second':<28}{found['images_per_second']:.4g}",
        f"{'waiting for data':<28}{found['data_wait_share']:.2%} of the time",
        f"{'peak memory':<28}{found['peak_bytes'] / 2**30:.3g} GiB ({found['planned_bytes'] / 2**30:.3g} planned)",
        f"{'operations an iteration':<28}{found['operations_per_iteration'] / 1e9:.4g} G",
        f"{'share of the machine':<28}{found['share_of_machine']:.1%} of a matrix product's rate ({rates})",
        "",
        "where the time goes, in two further iterations",
    ]
    whole = sum(found["parts"].values()) or 1.0
    width = max(map(len, found["parts"]), default=0)
    lines += [
        f"  {part:<{width}}  {value:9.4f} s  {value / whole:6.1%}"
        for part, value in found["parts"].items()
        if value / whole >= 0.001
    ]
    return "\n".join(lines)


def against(found: Sequence[tuple[int, int, Mapping[str, Any]]], named: Mapping[str, str]) -> str:
    """Return the table of a comparison: both sides, and the second divided by the first, round by round."""
    rows: list[tuple[str, ...]] = [("", "A", "B", "B / A")]
    for key, (words, unit) in FIGURES.items():
        cells = []
        for which in (0, 1):
            middle, spread = middle_and_spread(
                [float(figures[key]) / unit for _, side, figures in found if side == which]
            )
            cells.append(f"{middle:.4g} +- {spread:.2g}")
        pairs = ratios([(k, side, dict(figures)) for k, side, figures in found], key)
        middle, spread = middle_and_spread(pairs) if pairs else (float("nan"), 0.0)
        rows.append((words, *cells, f"{middle:.3f} +- {spread:.2g}"))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    legend = [f"{side}: {words}" for side, words in named.items()]
    return "\n".join([*legend, *table, "median over rounds, and half the distance between smallest and largest"])
