"""Train the weights that ship with the package, and write them with their model card.

    python benchmarks/shipped_weights.py [RUN_FOLDER]

A stopped training is continued by the same command. RUN_FOLDER is by default runs/shipped/critters.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from translate.export.weights import inference_weights
from translate.runs import scores
from translate.weights import format, load

PLACE = Path(__file__).parents[1] / "src" / "translate" / "weights" / "shipped"
NAME = "critters"
WORDS: tuple[str, ...] = ("experiments=shipped/critters",)
"""The settings of the training, as on the command line."""

LICENCE = "apache-2.0"
COMMAND = " ".join(("python -m translate", *WORDS))

LIMITS = """\
- The weights know one world: heads of cartoon animals before a plain background, drawn by this package. A photograph
  comes out as noise or as such a drawing.
- They work at {size} px. Larger images are reduced to this size before the translation.
- The training is short. Small details such as glasses, bows and whiskers are often lost or blurred.
- Scores of the protocol `local` compare only with scores of the same data and image size."""


def main(run: Path) -> None:
    """Train to the end, then write the weights file and the model card."""
    words = [*WORDS, f"folder={run}", "resume=auto"]
    subprocess.run([sys.executable, "-m", "translate", *words], check=True)
    weights = inference_weights(load.of_run(run))
    assert weights.config is not None
    config = {**weights.config, "folder": None, "resume": None}
    weights = replace(weights, licence=LICENCE, config=config)
    path = PLACE / f"{NAME}.safetensors"
    format.write(weights, path, "float16")
    card = path.with_suffix(".md")
    card.write_text(text_of_card(format.read(path), path.stat().st_size), encoding="utf-8")
    print(f"{path}, {path.stat().st_size / 1e6:.1f} MB\n{card}")


def text_of_card(weights: format.Weights, num_bytes: int) -> str:
    """Return the model card of shipped weights: use, data and licence, command and seed, scores, limits."""
    assert weights.config is not None
    count = sum(tensor.numel() for tensor in weights.tensors.values())
    domains = ", ".join(weights.domains)
    return "\n".join(
        [
            f"# {NAME}",
            "",
            f"StarGAN v2 at {weights.image_size} px for the domains {domains} of the built-in data.",
            "",
            f"    python -m translate apply weights={NAME} target={weights.domains[-1]}",
            "",
            f"- Networks: {', '.join(weights.networks)}; {count / 1e6:.1f} million parameters",
            f"- File: {num_bytes / 1e6:.1f} MB, safetensors, float16; loading gives float32",
            f"- Licence of the weights: {weights.licence}",
            f"- Data: `data=critters`, {weights.data['train']['images']:,} training images and "
            f"{weights.data['val']['images']:,} validation images, drawn by this package, without any photograph; "
            f"licence {LICENCE}",
            "",
            "## Training",
            "",
            f"    {COMMAND}",
            "",
            f"- Seed {weights.config['seed']}, {weights.iteration:,} iterations, batches of "
            f"{weights.config['data']['batch_size']}, on two CPU cores",
            "- `make shipped` trains, exports and writes this page again. Machines differ in rounding, so in numbers",
            "",
            *_tables(weights),
            "## Limits",
            "",
            LIMITS.format(size=weights.image_size),
            "",
        ]
    )


def _tables(weights: format.Weights) -> list[str]:
    """Return the scores of each protocol as a table, with the columns that they are compared with."""
    lines = []
    for tree in weights.metrics:
        result = scores.parse(tree)
        assert result is not None
        columns = {"these weights": result.scores, **result.columns}
        lines += [f"## Scores by the protocol `{result.request.protocol}`, on held-out images", ""]
        lines += [f"| | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
        for name in result.scores:
            cells = (f"{column[name]:.3f}" if name in column else "" for column in columns.values())
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/shipped/critters"))
