"""Format the results of a benchmark as tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from translate.profiling.compare import Measurement, median_and_spread, ratios

ROWS = {
    "seconds_per_iteration": ("seconds an iteration", 1.0),
    "images_per_second": ("images a second", 1.0),
    "data_wait_share": ("waiting for data, share of time", 1.0),
    "peak_bytes": ("peak memory, GiB", 2.0**30),
    "operations_per_iteration": ("operations an iteration, G", 1e9),
    "share_of_machine": ("share of the machine's rate", 1.0),
}
"""Key of a result -> (its label in a table, its unit)."""


def single(results: Mapping[str, Any]) -> str:
    """Return the tables of one configuration: whole iterations, then the time of their parts."""
    seconds, middle = results["seconds"], results["seconds_per_iteration"]
    peak, estimated = results["peak_bytes"] / 2**30, results["estimated_bytes"] / 2**30
    rates = ", ".join(
        f"{name} {value / 1e9:.4g} G/s" for name, value in results["machine_operations_per_second"].items()
    )
    length, environment = results["length"], results["environment"]
    packages = environment["packages"]
    device = environment["gpus"][0] if results["device"].startswith("cuda") else f"{environment['threads']} CPU threads"
    several = f"{results['processes']} processes, each " if results["processes"] > 1 else ""
    torch = packages.get("torch")
    lines = [
        f"{length['iterations']} iterations after {length['warmup']}, {several}on {device}, torch {torch}",
        f"{'seconds an iteration':<28}{middle:.4g} (from {min(seconds):.4g} to {max(seconds):.4g})",
        f"{'images a second':<28}{results['images_per_second']:.4g}",
        f"{'waiting for data':<28}{results['data_wait_share']:.2%} of the time",
        f"{'peak memory':<28}{peak:.3g} GiB ({estimated:.3g} estimated)",
        f"{'operations an iteration':<28}{results['operations_per_iteration'] / 1e9:.4g} G",
        f"{'share of the machine':<28}{results['share_of_machine']:.1%} of a matrix product's rate ({rates})",
        "",
        "where the time goes, in two further iterations",
    ]
    whole = sum(results["parts"].values()) or 1.0
    width = max(map(len, results["parts"]), default=0)
    lines += [
        f"  {part:<{width}}  {value:9.4f} s  {value / whole:6.1%}"
        for part, value in results["parts"].items()
        if value / whole >= 0.001
    ]
    return "\n".join(lines)


def comparison(measurements: Sequence[Measurement], names: Mapping[str, str]) -> str:
    """Return the table of a comparison: both sides, and the second divided by the first, round by round."""
    rows: list[tuple[str, ...]] = [("", "A", "B", "B / A")]
    for key, (label, unit) in ROWS.items():
        cells = []
        for side in (0, 1):
            median, spread = median_and_spread([float(m.results[key]) / unit for m in measurements if m.side == side])
            cells.append(f"{median:.4g} +- {spread:.2g}")
        pairs = ratios(measurements, key)
        median, spread = median_and_spread(pairs) if pairs else (float("nan"), 0.0)
        rows.append((label, *cells, f"{median:.3f} +- {spread:.2g}"))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    legend = [f"{side}: {words}" for side, words in names.items()]
    return "\n".join([*legend, *table, "median over rounds, and half the difference between largest and smallest"])
