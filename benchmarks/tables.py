"""Measure everything that docs/benchmarks.md reports on one device, and write it as a table and as JSON.

    python benchmarks/tables.py cpu docs/benchmarks
    python benchmarks/tables.py cuda docs/benchmarks

On a CPU that is the models at the sizes of the targets; on a GPU at the published sizes, by batch size.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from against_plain import compare, sentence

from translate.runs.environment import environment

CPU = ["float32", "library", "returning", "planes", "bf16"]  # bf16 pays where the processor has instructions for it
CUDA = ["float32", "tf32", "bf16", "tf32,compile", "bf16,compile"]
PLANS: dict[str, list[tuple[str, int, list[int], list[str]]]] = {
    "cpu": [
        ("stargan_v2", 256, [1], CPU),
        ("stargan_v1", 128, [4], CPU),
        ("stargan_v1", 128, [16], ["float32", "bf16"]),
        ("cyclegan", 128, [1, 4], CPU),
    ],
    "cuda": [
        ("stargan_v2", 256, [1, 8, 32], [*CUDA, "bf16,compile,lazy"]),
        ("stargan_v1", 128, [16, 64], CUDA),
        ("cyclegan", 256, [1, 8], CUDA),
    ],
}
"""For each device: model, image side, batch sizes, settings."""


def table(results: list[dict[str, Any]]) -> str:
    """Return Markdown: a row for each model and batch, a column for each setting; - where memory was not enough."""
    columns = list(dict.fromkeys(side for found in results for side in found["median"]))
    lines = [
        "| model | batch | plain, s | " + " | ".join(columns) + " |",
        "| --- | --- | --- | " + " | ".join("---" for _ in columns) + " |",
    ]
    for found in results:
        cells = [f"{found['median'][c]:.3f}" if c in found["median"] else "-" for c in columns]
        plain = f"{statistics.median(found['seconds']['plain']):.3g}" if "plain" in found["seconds"] else "-"
        lines.append(
            f"| {found['model']}, {found['size']} px | {found['batch']} | {plain} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print as it goes, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", choices=list(PLANS))
    parser.add_argument("folder", type=Path, help="where <device>.json and <device>.md go")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a model; the figures of others stay")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    kept = asked.folder / f"{asked.device}.json"
    before = json.loads(kept.read_text(encoding="utf-8")) if asked.only and kept.exists() else []
    results: list[dict[str, Any]] = [found for found in before if found["model"] != asked.only]
    for model, size, batches, ours in PLANS[asked.device]:
        if asked.only not in (None, model):
            continue
        for batch in batches:
            found = compare(model, size, batch, ours, asked.rounds, torch.device(asked.device))
            results.append({**found, "environment": {**environment(0), "command": ["python", *sys.argv]}})
            for side in ours:
                print(sentence(found, side), flush=True)
            kept.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            (asked.folder / f"{asked.device}.md").write_text(table(results), encoding="utf-8")


if __name__ == "__main__":
    main()
