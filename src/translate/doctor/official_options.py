"""The options of the official programs with their defaults, and our overrides for those that have one.

What needs several options at once is in `migrate`; here is what can be said of each option alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """One option: its official default, and our overrides with ``{}`` for its value.

    ``equal`` is whether the official default is also ours, so that it need not be written. ``remark`` says why an
    option has no counterpart, or what is different.
    """

    default: str = ""
    ours: tuple[str, ...] = ()
    remark: str = ""
    equal: bool = True
    flag: bool = False
    many: bool = False


@dataclass(frozen=True)
class Project:
    """An official program: its name on GitHub, the names of its scripts, and its options."""

    name: str
    scripts: tuple[str, ...]
    options: Mapping[str, Option]

    def purpose(self, script: str, given: Mapping[str, tuple[str, ...]]) -> str:
        """Return the purpose of a command line: train, test, sample, eval or align."""
        if "--mode" in self.options:
            return given["--mode"][0] if "--mode" in given else self.options["--mode"].default
        return script.removesuffix(".py")


def _of(default: str, *ours: str, equal: bool = True, remark: str = "") -> Option:
    return Option(default, ours, remark, equal)


def _nothing(default: str, remark: str) -> Option:
    return Option(default, (), remark)


LOGS = "a run writes log.txt, metrics.jsonl and samples/ into its folder"
INIT = "the initialization of the paper"

ROLES_V2 = ("generator", "mapping", "style_encoder", "discriminator")
ROLES_V1 = ("generator", "discriminator")
NETWORKS_OF = {
    "cycle_gan": (("generator_ab", "generator_ba"), ("discriminator_a", "discriminator_b")),
    "pix2pix": (("generator",), ("discriminator",)),
}
"""Model -> its generators and its discriminators by role."""

OF_OTHER_MODEL = {
    "cycle_gan": ("--lambda_L1",),
    "pix2pix": ("--pool_size", "--lambda_A", "--lambda_B", "--lambda_identity"),
}
"""Model -> options that only the other one reads."""

KNOWN_DOMAINS = {"celeba_hq": ("female", "male"), "afhq": ("cat", "dog", "wild")}
EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
LOSSES = {"lsgan": "least_squares", "vanilla": "non_saturating", "wgangp": "wasserstein"}

GENERATORS: Mapping[bool, Mapping[str, tuple[tuple[str, ...], str]]] = {
    False: {
        "resnet_9blocks": ((), "the default already"),
        "resnet_6blocks": (("{}.num_blocks=6",), ""),
    },
    True: {
        "unet_256": ((), "the default already"),
        "unet_128": (("{}.num_downsamplings=7",), ""),
    },
}
"""Whether the data are pairs -> the generators that our files have, with their overrides and a remark."""


def _rate(*roles: str) -> tuple[str, ...]:
    return tuple(f"model.optimizers.{role}.lr={{}}" for role in roles)


STARGAN_V2 = Project(
    "clovaai/stargan-v2",
    ("main.py",),
    {
        "--mode": Option("train"),
        "--img_size": _of("256", "data.image_size={}"),
        "--num_domains": Option("2"),
        "--latent_dim": _of("16", "model.latent_size={}"),
        "--hidden_dim": _nothing("512", "the official networks do not read it; the width is 512 in both"),
        "--style_dim": _of("64", "model.networks.generator.style_size={}"),
        "--lambda_reg": _of("1", "model.weights.discriminator.r1={}"),
        "--lambda_cyc": _of("1", "model.weights.generator.cycle={}"),
        "--lambda_sty": _of("1", "model.weights.generator.style={}"),
        "--lambda_ds": Option("1"),
        "--ds_iter": Option("100000"),
        "--w_hpf": Option("1"),
        "--randcrop_prob": Option("0.5"),
        "--total_iters": _of("100000", "iterations={}"),
        "--resume_iter": Option("0"),
        "--batch_size": _of("8", "data.batch_size={}"),
        "--val_batch_size": _nothing("32", "an argument of evaluate: batch_size"),
        "--lr": _of("1e-4", *_rate("generator", "style_encoder", "discriminator")),
        "--f_lr": _of("1e-6", *_rate("mapping")),
        "--beta1": Option("0.0"),
        "--beta2": Option("0.99"),
        "--weight_decay": _of("1e-4", *(f"model.optimizers.{role}.weight_decay={{}}" for role in ROLES_V2)),
        "--num_outs_per_domain": _nothing("10", "an argument of the metrics: metrics=official has 10"),
        "--num_workers": _of("4", "data.num_workers={}", equal=False),
        "--seed": _of("777", "seed={}", equal=False),
        "--train_img_dir": Option("data/celeba_hq/train"),
        "--val_img_dir": Option("data/celeba_hq/val"),
        "--sample_dir": _nothing("expr/samples", "samples/ in the run folder"),
        "--checkpoint_dir": _nothing("expr/checkpoints", "checkpoints/ in the run folder, which folder=DIR names"),
        "--eval_dir": _nothing("expr/eval", "metrics/ in the run folder"),
        "--result_dir": Option("expr/results"),
        "--src_dir": Option("assets/representative/celeba_hq/src"),
        "--ref_dir": Option("assets/representative/celeba_hq/ref"),
        "--inp_dir": Option("assets/representative/custom/female"),
        "--out_dir": Option("assets/representative/celeba_hq/src/female"),
        "--wing_path": _nothing("expr/checkpoints/wing.ckpt", "a key of the network masks: weights"),
        "--lm_path": _nothing("expr/checkpoints/celeba_lm_mean.npz", "an argument of align: mean"),
        "--print_every": _of("10", "log_every={}", equal=False),
        "--sample_every": _of("5000", "sample_every={}"),
        "--save_every": _of("10000", "checkpoint_every={}"),
        "--eval_every": _of("50000", "evaluate_every={}", equal=False),
    },
)

STARGAN_V1 = Project(
    "yunjey/stargan",
    ("main.py",),
    {
        "--mode": Option("train"),
        "--c_dim": Option("5"),
        "--c2_dim": Option("8"),
        "--celeba_crop_size": Option("178"),
        "--rafd_crop_size": Option("256"),
        "--image_size": _of("128", "data.image_size={}", equal=False),
        "--g_conv_dim": _of("64", "model.networks.generator.base_width={}"),
        "--d_conv_dim": _of("64", "model.networks.discriminator.base_width={}"),
        "--g_repeat_num": _of("6", "model.networks.generator.num_blocks={}"),
        "--d_repeat_num": _of("6", "model.networks.discriminator.num_layers={}"),
        "--lambda_cls": _of(
            "1", "model.weights.generator.classification={}", "model.weights.discriminator.classification={}"
        ),
        "--lambda_rec": _of("10", "model.weights.generator.reconstruction={}"),
        "--lambda_gp": _of("10", "model.weights.discriminator.gradient_penalty={}"),
        "--dataset": Option("CelebA"),
        "--batch_size": _of("16", "data.batch_size={}", equal=False),
        "--num_iters": Option("200000"),
        "--num_iters_decay": Option("100000"),
        "--g_lr": _of("0.0001", "model.optimizers.generator.lr.start={}"),
        "--d_lr": _of("0.0001", "model.optimizers.discriminator.lr.start={}"),
        "--n_critic": _of("5", "model.num_critic={}"),
        "--beta1": Option("0.5"),
        "--beta2": Option("0.999"),
        "--resume_iters": Option("None"),
        "--selected_attrs": Option(many=True),
        "--test_iters": _nothing("200000", "apply names the file"),
        "--num_workers": _of("1", "data.num_workers={}", equal=False),
        "--use_tensorboard": _nothing("True", "logger=tensorboard"),
        "--celeba_image_dir": Option("data/celeba/images", (), "not of this data set"),
        "--attr_path": Option("data/celeba/list_attr_celeba.txt", (), "not needed here"),
        "--rafd_image_dir": Option("data/RaFD/train", (), "not of this data set"),
        "--log_dir": _nothing("stargan/logs", LOGS),
        "--model_save_dir": Option("stargan/models"),
        "--sample_dir": _nothing("stargan/samples", "samples/ in the run folder"),
        "--result_dir": _nothing("stargan/results", "an argument of apply: output"),
        "--log_step": _of("10", "log_every={}", equal=False),
        "--sample_step": _of("1000", "sample_every={}", equal=False),
        "--model_save_step": _of("10000", "checkpoint_every={}"),
        "--lr_update_step": _nothing("1000", "1000, which variant=official_code sets"),
    },
)

VISDOM = "there is no visdom: logger=tensorboard or logger=wandb"
CYCLEGAN = Project(
    "junyanz/pytorch-CycleGAN-and-pix2pix",
    ("train.py", "test.py"),
    {
        "--dataroot": Option(""),
        "--name": Option("experiment_name"),
        "--gpu_ids": Option("0"),
        "--checkpoints_dir": Option("./checkpoints"),
        "--model": Option("cycle_gan"),
        "--input_nc": _nothing("3", "images have three channels; grey ones are converted"),
        "--output_nc": _nothing("3", "images have three channels; grey ones are converted"),
        "--ngf": Option("64"),
        "--ndf": Option("64"),
        "--netD": Option("basic"),
        "--netG": Option("resnet_9blocks"),
        "--n_layers_D": Option("3"),
        "--norm": Option("instance"),
        "--init_type": _nothing("normal", INIT),
        "--init_gain": _nothing("0.02", INIT),
        "--no_dropout": Option(flag=True),
        "--dataset_mode": Option("unaligned"),
        "--direction": Option("AtoB", (), "the default already"),
        "--serial_batches": Option(flag=True, remark="the order is random; a seed fixes it"),
        "--num_threads": _of("4", "data.num_workers={}", equal=False),
        "--batch_size": _of("1", "data.batch_size={}"),
        "--load_size": Option("286"),
        "--crop_size": Option("256"),
        "--max_dataset_size": _nothing("inf", "all images are used"),
        "--preprocess": Option("resize_and_crop"),
        "--no_flip": Option(flag=True),
        "--display_winsize": _nothing("256", VISDOM),
        "--epoch": Option("latest"),
        "--load_iter": _nothing("0", "write the file into weights="),
        "--verbose": Option(flag=True, remark="show prints the configuration"),
        "--suffix": _nothing("", "write it into folder="),
        "--use_wandb": Option(ours=("logger=wandb",), flag=True),
        "--wandb_project_name": _of("CycleGAN-and-pix2pix", "logger=wandb", "logger.wandb.project={}", equal=False),
        "--display_freq": _of("400", "sample_every={}", equal=False),
        "--display_ncols": _nothing("4", VISDOM),
        "--display_id": _nothing("1", VISDOM),
        "--display_server": _nothing("http://localhost", VISDOM),
        "--display_env": _nothing("main", VISDOM),
        "--display_port": _nothing("8097", VISDOM),
        "--update_html_freq": _nothing("1000", "there is no HTML page; sample grids are in samples/"),
        "--print_freq": _of("100", "log_every={}", equal=False),
        "--no_html": Option(flag=True, remark="there is no HTML page"),
        "--save_latest_freq": _of("5000", "checkpoint_every={}", equal=False),
        "--save_epoch_freq": _of("5", "checkpoint_every=${{epochs:{}}}", equal=False),
        "--save_by_iter": Option(flag=True, remark="checkpoints are always named by their iteration"),
        "--continue_train": Option(flag=True),
        "--epoch_count": _nothing("1", "a resumed run continues at its iteration"),
        "--phase": Option("train"),
        "--n_epochs": Option("100"),
        "--n_epochs_decay": Option("100"),
        "--niter": Option("100"),
        "--niter_decay": Option("100"),
        "--beta1": Option("0.5"),
        "--lr": Option("0.0002"),
        "--gan_mode": Option("lsgan"),
        "--pool_size": _of("50", "model.pool_size={}"),
        "--lr_policy": _nothing("linear", "rates are constant, then linear; other schedules are model.optimizers.*.lr"),
        "--lr_decay_iters": _nothing("50", "of the policy step"),
        "--lambda_A": _of("10.0", "model.weights.generator.cycle_a={}"),
        "--lambda_B": _of("10.0", "model.weights.generator.cycle_b={}"),
        "--lambda_identity": _of(
            "0.5", "model.weights.generator.identity_a={}", "model.weights.generator.identity_b={}"
        ),
        "--lambda_L1": _of("100.0", "model.weights.generator.l1={}"),
        "--results_dir": Option("./results/"),
        "--aspect_ratio": _nothing("1.0", "a translation has the size of its input"),
        "--eval": Option(flag=True),
        "--num_test": Option("50"),
        "--model_suffix": _nothing("", "write the file into weights="),
    },
)

PROJECTS = (STARGAN_V2, STARGAN_V1, CYCLEGAN)
