"""Compare models and adversaries on unpaired images at equal cost, over several seeds.

    python benchmarks/unpaired_rivals.py OUT --pairs DRAWINGS --models cyclegan cut cyclegan/hinge --iterations 800
    python benchmarks/unpaired_rivals.py OUT --digits DIGITS --models cyclegan cut
    python benchmarks/unpaired_rivals.py OUT --models stargan_v1 stargan_v1/relativistic_r1_r2

``--pairs`` names a root with the folders train/STYLE/ and val/STYLE/, where equal names are the same subject: the
models see both styles unpaired, and the held-out pairs measure them. ``--digits`` names a root with the folders
train/DOMAIN/ and test/DOMAIN/ of files whose names begin with their class: a classifier of real target images reads the
translations. Without both, the images are the built-in data.

A model is a small preset, or a small preset with an adversary: MODEL/ADVERSARY, see `MODELS`. The cost of an iteration
is the processor time of this process, the median over turns in which all models take part. ``--iterations`` are those
of the first model; the others have as many as cost the same.

OUT holds a run folder for each model and seed, with sample grids, and ``results.json``. Finished runs are not repeated.
Rows of the table: mean and standard deviation over the seeds, and the rows to compare with, such as the sources.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from translate.config.compose import load
from translate.config.schema import RunConfig
from translate.metrics.protocols import Scores
from translate.runs.scores import of_run
from translate.training import build, run

LOSS, WEIGHT = "model.losses.adversarial.name", "model.weights.discriminator"


def falling(role: str, start: str) -> str:
    """Return the override by which the learning rate of a role falls to 0 over the second half."""
    schedule = f"schedule: linear, start: {start}, end: 0.0, iterations: '${{share:0.5}}', after: '${{share:0.5}}'"
    return f"model.optimizers.{role}={{lr: {{{schedule}}}}}"


def variation(weight: float) -> list[str]:
    """Return the overrides of the weight of CycleGAN's term for the variation of translations."""
    return [f"model.weights.generator.variation_{side}={weight}" for side in "ab"]


CUT = ["model=cut_small", falling("generator", "1e-3"), falling("discriminator", "5e-4")]
SMALL_CYCLEGAN = [
    "model=cyclegan_small",
    "model.networks.generator_ab.fine_width=0",
    falling("generator_ab", "1e-3"),
    falling("discriminator_a", "5e-4"),
]
CYCLEGAN = [*SMALL_CYCLEGAN, *variation(0)]  # the losses of the paper
V1 = ["model=stargan_v1_small", f"{LOSS}=non_saturating", "model.networks.discriminator.spectral_norm=false"]
V1 += [f"{WEIGHT}.gradient_penalty=1", f"{WEIGHT}.noisy_classification=0", "model.weights.generator.reconstruction=10"]
V1 += ["model.networks.generator.upsampling=transposed"]
V1 += ["model.networks.generator.name=stargan_v1_generator", "model.weights.generator.classification=0.3"]
"""StarGAN v1's small preset before this comparison."""
V2 = ["model=stargan_v2_small"]
V1_LABELS = ["data.labels=attributes", "data.attributes=[dark_coat,warm_coat,glasses]"]
NO_PENALTY = f"{WEIGHT}.gradient_penalty=0"


def zero_centred(loss: str, r1: float, r2: float) -> list[str]:
    """Return the overrides of a loss with R1 and R2."""
    return [f"{LOSS}={loss}", f"{WEIGHT}.r1={r1}", f"{WEIGHT}.r2={r2}"]


def spectral(role: str) -> list[str]:
    """Return the overrides of the hinge loss with a spectrally normalised discriminator."""
    return [f"{LOSS}=hinge", f"model.networks.{role}.spectral_norm=true"]


MODELS = {
    "cut": CUT,
    "fastcut": [
        *CUT,
        "model.flip_equivariance=true",
        "model.weights.generator.nce=10",
        "model.weights.generator.nce_identity=0",
    ],
    "cyclegan": CYCLEGAN,
    "cyclegan/variation_2": [*SMALL_CYCLEGAN, *variation(2)],
    "cyclegan/variation_5": [*SMALL_CYCLEGAN, *variation(5)],
    "cyclegan/hinge": [*CYCLEGAN, f"{LOSS}=hinge"],
    "cyclegan/hinge_spectral": [*CYCLEGAN, *spectral("discriminator_a")],
    "cyclegan/relativistic_r1_r2": [*CYCLEGAN, *zero_centred("relativistic", 10, 10)],
    "cyclegan/non_saturating_r1": [*CYCLEGAN, *zero_centred("non_saturating", 10, 0)],
    "stargan_v1": V1,
    "stargan_v1/light_classification": [*V1, "model.weights.generator.classification=0.1"],
    "stargan_v1/hinge_spectral": [*V1, *spectral("discriminator"), NO_PENALTY],
    "stargan_v1/relativistic_r1_r2": [*V1, *zero_centred("relativistic", 1, 1), NO_PENALTY],
    "stargan_v1/non_saturating_r1": [*V1, *zero_centred("non_saturating", 1, 0), NO_PENALTY],
    "stargan_v2": V2,
    "stargan_v2/hinge_spectral": [*V2, *spectral("discriminator"), f"{WEIGHT}.r1=0"],
    "stargan_v2/relativistic_r1_r2": [*V2, *zero_centred("relativistic", 1, 1)],
}
"""Overrides of each model."""
TURNS, PER_TURN = 5, 4
NUMBERS = ("sources", "translations", "real images")  # of images, beside the scores of a task


def pairs_of(drawings: Path, styles: list[str], root: Path) -> Path:
    """Return a root with the layout of the data set `paired`: links to the folders of both styles."""
    for side, style in zip("AB", styles, strict=True):
        (root / side).mkdir(parents=True, exist_ok=True)
        for split in ("train", "val"):
            link = root / side / split
            if not link.is_symlink():
                link.symlink_to((drawings / split / style).resolve())
    return root


def images(name: str, args: argparse.Namespace) -> list[str]:
    """Return the overrides of the data, and of the metrics that suit them."""
    if args.pairs:
        root = pairs_of(args.pairs, args.domains, args.out / "pairs")
        names = f"data.domain_names=[{','.join(args.domains)}]"
        colours = "+metrics.pixel_accuracy_paired={name: pixel_accuracy_paired}"
        return ["data=paired", f"data.root={root}", names, "data.augment=flip", "metrics=paired", colours]
    if args.digits:
        own = ["data=folder", f"data.root={args.digits}", "data.classes=name", "data.augment=none"]
        return [*own, f"data.domains=[{','.join(args.domains)}]", "metrics=[classes,local_features]"]
    labels = V1_LABELS if name.startswith("stargan_v1") else [f"data.domains=[{','.join(args.domains)}]"]
    return ["data=critters", *labels, "metrics=local"]


def configuration(name: str, args: argparse.Namespace, iterations: int, seed: int) -> RunConfig:
    """Return the configuration of a run."""
    return load(
        [
            *MODELS[name],
            *images(name, args),
            f"data.image_size={args.size}",
            f"data.batch_size={args.batch_size}",
            "data.cache=null",
            "data.num_workers=0",
            "trainer=cpu",
            "trainer.threads=1",
            "budget=null",
            "evaluate_every=null",
            f"iterations={iterations}",
            f"sample_every={iterations}",
            f"checkpoint_every={iterations}",
            f"seed={seed}",
        ]
    )


def costs(args: argparse.Namespace) -> dict[str, float]:
    """Return the processor time of an iteration of every model, in seconds: the median over turns."""
    started = {}
    for name in args.models:
        config = configuration(name, args, 100, 0)
        data = build.build_data(config)
        model = build.build_model(config)
        batch = data.augment(data.iterations()[0])
        model.training_step(batch, 0)  # makes the optimizers and warms up
        started[name] = (model, batch)
    seconds: dict[str, list[float]] = {name: [] for name in started}
    for _ in range(TURNS):
        for name, (model, batch) in started.items():
            begin = time.process_time()
            for _ in range(PER_TURN):
                model.training_step(batch, 0)
            seconds[name].append((time.process_time() - begin) / PER_TURN)
    return {name: statistics.median(values) for name, values in seconds.items()}


def direction(tasks: dict[str, Scores], args: argparse.Namespace) -> Scores:
    """Return the scores of the first direction; means over all tasks where the domains are labels."""
    wanted = f"{args.domains[0]} -> {args.domains[1]}"
    chosen = [scores for task, scores in tasks.items() if task.startswith(wanted)] or list(tasks.values())
    names = dict.fromkeys(name for scores in chosen for name in scores if name not in NUMBERS)
    return {name: statistics.mean(scores[name] for scores in chosen if name in scores) for name in names}


def train(name: str, seed: int, iterations: int, args: argparse.Namespace) -> dict[str, Scores]:
    """Train a model, unless its folder has scores, and return the scores and those to compare with."""
    folder = args.out / f"{name.replace('/', '-')}_{seed}"
    if not any(of_run(folder)) and run.train(configuration(name, args, iterations, seed), folder) != 0:
        raise SystemExit(f"{folder}: the run failed")
    (_, result) = next(iter(of_run(folder)))
    return {"trained": direction(result.tasks, args), **{name: dict(scores) for name, scores in result.columns.items()}}


def rows(results: dict[str, list[dict[str, Scores]]]) -> Iterator[str]:
    """Yield the rows of the table of means and standard deviations over the seeds."""
    first = next(iter(results.values()))[0]
    scores = list(first["trained"])
    yield "| model | " + " | ".join(scores) + " |"
    yield "| --- |" + " --- |" * len(scores)
    for column in first:
        for name, runs in results.items():
            values = [[each[column][score] for each in runs if score in each.get(column, {})] for score in scores]
            cells = [
                f"{statistics.mean(v):.4g} ± {statistics.stdev(v) if len(v) > 1 else 0:.2g}" if v else "-"
                for v in values
            ]
            yield f"| {name}, {column} | " + " | ".join(cells) + " |"


def arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--pairs", type=Path, metavar="DRAWINGS")
    source.add_argument("--digits", type=Path)
    parser.add_argument("--domains", nargs=2, help="source and target")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["cut", "fastcut", "cyclegan"])
    parser.add_argument("--iterations", type=int, default=600, help="of the first model; the others cost the same")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=4)
    args = parser.parse_args()
    usual = ["noto", "twemoji"] if args.pairs else ["usps", "mnist"] if args.digits else ["cat", "rabbit"]
    args.domains = args.domains or usual
    return args


def main() -> None:
    """Measure the costs, train all, and print the table."""
    args = arguments()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    note = args.out / "costs.json"
    seconds = json.loads(note.read_text()) if note.exists() else {}
    if not set(args.models) <= seconds.keys():
        seconds = costs(args)
        note.write_text(json.dumps(seconds))
    iterations = {n: round(args.iterations * seconds[args.models[0]] / seconds[n]) for n in args.models}
    print({name: (round(seconds[name], 4), iterations[name]) for name in args.models}, flush=True)
    results: dict[str, list[dict[str, Scores]]] = {}
    for seed in range(args.seeds):
        for name in args.models:
            results.setdefault(name, []).append(train(name, seed, iterations[name], args))
            (args.out / "results.json").write_text(json.dumps({"iterations": iterations, "results": results}, indent=2))
            print("\n".join(rows(results)), flush=True)


if __name__ == "__main__":
    main()
