"""clovaai/stargan-v2: the options of its main.py, and our commands for its four modes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from translate.doctor.official.builder import DEFAULT_ALREADY, Builder, Project, chosen, key, parent
from translate.doctor.official.options import Option, number, one_of, text, whole

ROLES = ("generator", "mapping", "style_encoder", "discriminator")
KNOWN_DOMAINS = {"celeba_hq": ("female", "male"), "afhq": ("cat", "dog", "wild")}


def _rates(*roles: str) -> tuple[str, ...]:
    return tuple(f"model.optimizers.{role}.lr={{}}" for role in roles)


OPTIONS: Mapping[str, Option] = {
    # model arguments
    "--img_size": whole("256", "data.image_size={}"),
    "--num_domains": whole("2"),
    "--latent_dim": whole("16", "model.latent_size={}"),
    "--hidden_dim": whole("512", remark="the official networks do not read it; the width is 512 in both"),
    "--style_dim": whole("64", "model.networks.generator.style_size={}"),
    # weight for objective functions
    "--lambda_reg": number("1", "model.weights.discriminator.r1={}"),
    "--lambda_cyc": number("1", "model.weights.generator.cycle={}"),
    "--lambda_sty": number("1", "model.weights.generator.style={}"),
    "--lambda_ds": number("1"),
    "--ds_iter": whole("100000"),
    "--w_hpf": number("1"),
    # training arguments
    "--randcrop_prob": number("0.5"),
    "--total_iters": whole("100000", "iterations={}"),
    "--resume_iter": whole("0"),
    "--batch_size": whole("8", "data.batch_size={}"),
    "--val_batch_size": whole("32", remark="an argument of evaluate: batch_size"),
    "--lr": number("1e-4", *_rates("generator", "style_encoder", "discriminator")),
    "--f_lr": number("1e-6", *_rates("mapping")),
    "--beta1": number("0.0"),
    "--beta2": number("0.99"),
    "--weight_decay": number("1e-4", *(f"model.optimizers.{role}.weight_decay={{}}" for role in ROLES)),
    "--num_outs_per_domain": whole("10", remark="an argument of the metrics: metrics=official has 10"),
    # misc
    "--mode": one_of("train sample eval align", "", required=True),
    "--num_workers": whole("4", "data.num_workers={}", equal=False),
    "--seed": whole("777", "seed={}", equal=False),
    # directory for training
    "--train_img_dir": text("data/celeba_hq/train"),
    "--val_img_dir": text("data/celeba_hq/val"),
    "--sample_dir": text("expr/samples", remark="samples/ in the run folder"),
    "--checkpoint_dir": text("expr/checkpoints", remark="checkpoints/ in the run folder, which folder=DIR names"),
    # directory for calculating metrics
    "--eval_dir": text("expr/eval", remark="metrics/ in the run folder"),
    # directory for testing
    "--result_dir": text("expr/results", remark="an argument of apply: output"),
    "--src_dir": text("assets/representative/celeba_hq/src", remark="an argument of apply: input"),
    "--ref_dir": text("assets/representative/celeba_hq/ref", remark="an argument of apply: reference"),
    "--inp_dir": text("assets/representative/custom/female", remark="an argument of align: input"),
    "--out_dir": text("assets/representative/celeba_hq/src/female", remark="an argument of align: output"),
    # face alignment
    "--wing_path": text("expr/checkpoints/wing.ckpt", remark="a key of the network masks: weights"),
    "--lm_path": text("expr/checkpoints/celeba_lm_mean.npz", remark="an argument of align: mean"),
    # step size
    "--print_every": whole("10", "log_every={}", equal=False),
    "--sample_every": whole("5000", "sample_every={}"),
    "--save_every": whole("10000", "checkpoint_every={}"),
    "--eval_every": whole("50000", "evaluate_every={}", equal=False),
}


def build(build: Builder) -> None:
    """Add the rows and commands of a command line."""
    mode = build.value("--mode")
    build.say("--mode", [], f"the command {COMMANDS[mode]}")
    chosen({"train": _train, "sample": _sample, "eval": _evaluate, "align": _align}, "--mode", mode)(build)


COMMANDS = {"train": "train", "sample": "apply", "eval": "evaluate", "align": "align"}


# --- training ------------------------------------------------------------------------------------------------


def _train(build: Builder) -> None:
    build.words += ["model=stargan_v2"]
    kind = _data(build)
    _high_pass(build, kind)
    weight = "model.weights.generator.diversity"
    build.say(
        "--lambda_ds", [f"{weight}.start={build.number('--lambda_ds'):g}"] if "--lambda_ds" in build.given else []
    )
    if "--ds_iter" in build.given:
        build.say("--ds_iter", [f"{weight}.iterations={build.value('--ds_iter')}"])
    betas = {"--beta1", "--beta2"} & set(build.given)
    if betas:
        pair = f"[{build.number('--beta1'):g},{build.number('--beta2'):g}]"
        build.say(sorted(betas), [f"model.optimizers.{role}.betas={pair}" for role in ROLES])
    if "--randcrop_prob" in build.given:
        probability = build.number("--randcrop_prob")
        words = ["data.augment=flip"] if probability == 0 else []
        remark = DEFAULT_ALREADY if probability == 0.5 else "" if words else "the probability is 0.5 or 0"
        build.say("--randcrop_prob", words, remark)
    build.resume("--resume_iter", "--checkpoint_dir", "nets.ckpt and optims.ckpt")
    build.rest()
    build.finish()


def _data(build: Builder) -> str:
    """Say the data; return the name of the data set."""
    root, split = parent(build.value("--train_img_dir"))
    val_root, held_out = parent(build.value("--val_img_dir"))
    name = parent(root)[1]
    kind = name if name in KNOWN_DOMAINS else "folder"
    fits = (root, split) == (val_root, "train") and held_out in ("val", "test")
    remark = "" if fits else "the root must hold train/ and val/: link both folders into one"
    build.say(("--train_img_dir", "--val_img_dir"), [f"data={kind}", f"data.root={key(root)}"], remark)
    build.say("--num_domains", [], "found from the folders")
    return kind


def _high_pass(build: Builder, kind: str) -> None:
    """Say the high-pass skip connections, which are on by default in the official code and off in ours."""
    w_hpf = build.number("--w_hpf")
    if w_hpf and kind == "celeba_hq":
        words = [] if w_hpf == 1 else [f"model.networks.generator.w_hpf={w_hpf:g}"]
        masks = "'++model.networks.masks={name: landmark_masks, weights: wing.ckpt}'"
        build.say(
            "--w_hpf", words, f"set by data=celeba_hq, with fixed ovals as masks; for those of wing.ckpt add {masks}"
        )
    elif w_hpf:
        mask = "++model.networks.masks={name: face_oval}"
        build.say("--w_hpf", [f"model.networks.generator.w_hpf={w_hpf:g}", mask], "masks are fixed ovals, for faces")
    else:
        build.say("--w_hpf", [], DEFAULT_ALREADY)


# --- use -----------------------------------------------------------------------------------------------------


def _weights(build: Builder) -> str:
    step = int(build.number("--resume_iter"))
    path = f"{build.folder('--checkpoint_dir')}/{step:06d}_nets_ema.ckpt"
    build.say(
        ("--resume_iter", "--checkpoint_dir"), [f"weights={path}"], "the file as it is; nothing is converted first"
    )
    return path


def _domains(build: Builder) -> tuple[str, ...]:
    """Return the names of the domains, where the paths name a known data set."""
    paths = " ".join(build.value(name) for name in ("--checkpoint_dir", "--src_dir", "--train_img_dir"))
    count = int(build.number("--num_domains"))
    for name, domains in KNOWN_DOMAINS.items():
        if re.search(rf"(?<![a-z]){name}(?![a-z])", paths) and len(domains) == count:
            return domains
    return ()


def _facts(build: Builder, domains: Sequence[str]) -> None:
    remark = (
        "names of the domains, which the file does not hold"
        if domains
        else "the domains have numbers: domains=[...] names them"
    )
    build.say("--num_domains", [f"domains=[{','.join(domains)}]"] if domains else [], remark)
    w_hpf = build.number("--w_hpf")
    build.say("--w_hpf", [f"w_hpf={w_hpf:g}"] if w_hpf else [], "not in the file" if w_hpf else DEFAULT_ALREADY)


def _sample(build: Builder) -> None:
    _weights(build)
    domains = _domains(build)
    _facts(build, domains)
    build.say("--src_dir", [f"input={build.value('--src_dir')}"])
    references, output = build.folder("--ref_dir"), build.folder("--result_dir")
    common = list(build.words)
    remark = "the folder of each domain; its mean style. Without reference=, styles are drawn by seed="
    shown = [f"reference={references}/{domains[0]}", f"target={domains[0]}"] if domains else [f"reference={references}"]
    build.say("--ref_dir", shown, remark)
    build.say(
        "--result_dir", [f"output={output}"], "interpolations: the command video; the table of all references: grid"
    )
    build.rest(used=False)
    for domain in domains:
        words = [f"reference={references}/{domain}", f"target={domain}", f"output={output}/{domain}"]
        build.commands.append(("apply", *common, *words))
    if not domains:
        build.commands.append(("apply", *common, f"reference={references}", f"output={output}"))


def _evaluate(build: Builder) -> None:
    """Import the file as a run, since scores belong to a run, and evaluate it by the official protocol."""
    path = _weights(build)
    domains = _domains(build)
    _facts(build, domains)
    run = f"{build.folder('--eval_dir')}/run"
    build.say("--eval_dir", [f"to={run}"], "scores are written into the metrics/ of this run")
    facts = [word for word in build.words if word.startswith(("domains=", "w_hpf="))]
    build.words = []
    _data(build)
    data = list(build.words)
    build.say("--num_outs_per_domain", [], "10, which metrics=official computes")
    if "--val_batch_size" in build.given:
        build.say("--val_batch_size", [f"batch_size={build.value('--val_batch_size')}"])
    evaluation = [word for word in build.words if word.startswith("batch_size=")]
    build.rest(used=False)
    build.commands += [
        ("import", f"weights={path}", f"to={run}", *facts, *data),
        ("evaluate", f"run={run}", "metrics=official", *evaluation),
    ]


def _align(build: Builder) -> None:
    build.say("--inp_dir", [f"input={build.value('--inp_dir')}"])
    build.say("--out_dir", [f"output={build.value('--out_dir')}"])
    build.say("--wing_path", [f"weights={build.value('--wing_path')}"], "the file as it was downloaded")
    build.say("--lm_path", [f"mean={build.value('--lm_path')}"])
    build.rest(used=False)
    build.finish("align")


PROJECT = Project("clovaai/stargan-v2", ("main.py",), OPTIONS, build)
