"""junyanz/pytorch-CycleGAN-and-pix2pix: the options of train.py and test.py, and our commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from translate.doctor.official.builder import (
    DEFAULT_ALREADY,
    IN_THE_WEIGHTS,
    Builder,
    Project,
    Row,
    import_first,
    key,
)
from translate.doctor.official.options import Option, flag, number, one_of, text, whole
from translate.errors import UserError

INIT = "the initialization of the paper"
VISDOM = "there is no visdom: logger=tensorboard or logger=wandb"
NO_HTML = "there is no HTML page; sample grids are in samples/"
CHANNELS = "images have three channels; grey ones are converted"
IN_WEIGHTS_WORD = "write the file into weights="

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

LOSSES = {"lsgan": "least_squares", "vanilla": "non_saturating", "wgangp": "wasserstein"}

GENERATORS: Mapping[bool, Mapping[str, tuple[str, ...]]] = {
    False: {"resnet_9blocks": (), "resnet_6blocks": ("{}.num_blocks=6",)},
    True: {"unet_256": (), "unet_128": ("{}.num_downsamplings=7",)},
}
"""Whether the data are pairs -> the generators that our files have, with their overrides."""

STEP_FACTOR = 0.1  # of the policy step

OPTIONS: Mapping[str, Option] = {
    # base_options.py: basic parameters
    "--dataroot": replace(text(""), required=True),
    "--name": text("experiment_name"),
    "--gpu_ids": text("0"),
    "--checkpoints_dir": text("./checkpoints"),
    # model parameters
    "--model": text("cycle_gan"),
    "--input_nc": whole("3", remark=CHANNELS),
    "--output_nc": whole("3", remark=CHANNELS),
    "--ngf": whole("64"),
    "--ndf": whole("64"),
    "--netD": text("basic", older=("--which_model_netD",)),
    "--netG": text("resnet_9blocks", older=("--which_model_netG",)),
    "--n_layers_D": whole("3"),
    "--norm": text("instance"),
    "--init_type": text("normal", remark=INIT),
    "--init_gain": number("0.02", remark=INIT),
    "--no_dropout": flag(),
    # dataset parameters
    "--dataset_mode": text("unaligned"),
    "--direction": replace(one_of("AtoB BtoA", "AtoB", remark=DEFAULT_ALREADY), older=("--which_direction",)),
    "--serial_batches": flag(remark="the order is random; a seed fixes it"),
    "--num_threads": whole("4", "data.num_workers={}", equal=False, older=("--nThreads",)),
    "--batch_size": whole("1", "data.batch_size={}", older=("--batchSize",)),
    "--load_size": whole("286", older=("--loadSize",)),
    "--crop_size": whole("256", older=("--fineSize",)),
    "--max_dataset_size": number("inf", remark="all images are used"),
    "--preprocess": text("resize_and_crop", older=("--resize_or_crop",)),
    "--no_flip": flag(),
    "--display_winsize": whole("256", remark=VISDOM),
    # additional parameters
    "--epoch": text("latest", older=("--which_epoch",)),
    "--load_iter": whole("0", remark=IN_WEIGHTS_WORD),
    "--verbose": flag(remark="show prints the configuration"),
    "--suffix": text("", remark="write it into folder="),
    "--use_wandb": flag("logger=wandb"),
    "--wandb_project_name": text("CycleGAN-and-pix2pix"),
    # train_options.py: display and saving
    "--display_freq": whole("400", "sample_every={}", equal=False),
    "--display_ncols": whole("4", remark=VISDOM),
    "--display_id": whole("1", remark=VISDOM),
    "--display_server": text("http://localhost", remark=VISDOM),
    "--display_env": text("main", remark=VISDOM),
    "--display_port": whole("8097", remark=VISDOM),
    "--update_html_freq": whole("1000", remark=NO_HTML),
    "--print_freq": whole("100", "log_every={}", equal=False),
    "--no_html": flag(remark=NO_HTML),
    "--save_latest_freq": whole("5000", "checkpoint_every={}", equal=False),
    "--save_epoch_freq": whole("5", "checkpoint_every=${{epochs:{}}}", equal=False),
    "--save_by_iter": flag(remark="checkpoints are always named by their iteration"),
    "--continue_train": flag(),
    "--epoch_count": whole("1", remark="a resumed run continues at its iteration"),
    "--phase": text("train"),
    # training parameters
    "--n_epochs": whole("100", older=("--niter",)),
    "--n_epochs_decay": whole("100", older=("--niter_decay",)),
    "--beta1": number("0.5"),
    "--lr": number("0.0002"),
    "--gan_mode": text("lsgan"),
    "--no_lsgan": flag(),  # of earlier versions
    "--pool_size": whole("50", "model.pool_size={}"),
    "--lr_policy": text("linear"),
    "--lr_decay_iters": whole("50"),
    # cycle_gan_model.py, pix2pix_model.py, test_model.py
    "--lambda_A": number("10.0", "model.weights.generator.cycle_a={}"),
    "--lambda_B": number("10.0", "model.weights.generator.cycle_b={}"),
    "--lambda_identity": number(
        "0.5", "model.weights.generator.identity_a={}", "model.weights.generator.identity_b={}", older=("--identity",)
    ),
    "--lambda_L1": number("100.0", "model.weights.generator.l1={}"),
    "--model_suffix": text("", remark=IN_WEIGHTS_WORD),
    # test_options.py
    "--results_dir": text("./results/", remark="an argument of apply: output"),
    "--aspect_ratio": number("1.0", remark="a translation has the size of its input"),
    "--eval": flag(remark="of test.py"),
    "--num_test": whole("50", remark="of test.py", older=("--how_many", "--ntest")),
}


def build(build: Builder) -> None:
    """Add the rows and commands of a command line."""
    model = build.value("--model")
    if model not in (*NETWORKS_OF, "test"):
        raise UserError(
            "this model has no counterpart", key="--model", found=model, expected="cycle_gan, pix2pix or test"
        )
    if build.line.script_name == "test.py":
        _test(build, model)
    elif model in NETWORKS_OF:
        _train(build, model)
    else:
        raise UserError("test.py alone reads this model", key="--model", found=model, known=NETWORKS_OF)


# --- training ------------------------------------------------------------------------------------------------


def _train(build: Builder, model: str) -> None:
    pairs = model == "pix2pix"
    generators, discriminators = NETWORKS_OF[model]
    leader = generators[0]  # the rates of the other optimizers follow it in the files
    build.say("--model", [f"model={'pix2pix' if pairs else 'cyclegan'}", f"data={'paired' if pairs else 'unpaired'}"])
    build.say("--dataset_mode", [], "follows from the model")
    build.say("--dataroot", [f"data.root={key(build.folder('--dataroot'))}"])
    if build.value("--direction") == "BtoA":
        build.say("--direction", ["data.domains=[b,a]"])
    folder = f"{build.folder('--checkpoints_dir').removeprefix('./')}/{build.value('--name')}"
    if "--continue_train" in build.given:
        names = ("--continue_train", "--name", "--checkpoints_dir", "--epoch", "--epoch_count")
        build.say(names, [], import_first(f"the files of {folder}"))
    else:
        named = {"--name", "--checkpoints_dir"} & set(build.given)
        build.say(("--name", "--checkpoints_dir"), [f"folder={key(folder)}"] if named else [])
    _length_and_rates(build, f"model.optimizers.{leader}.lr")
    if "--beta1" in build.given:
        pair = f"[{build.number('--beta1'):g},0.999]"
        build.say("--beta1", [f"model.optimizers.{role}.betas={pair}" for role in (*generators, *discriminators)])
    _networks(build, pairs, generators, discriminators)
    _loss(build, pairs)
    _images(build)
    _devices(build)
    if "--wandb_project_name" in build.given:
        used = "--use_wandb" in build.given
        words = [f"logger.wandb.project={key(build.value('--wandb_project_name'))}"] if used else []
        build.say("--use_wandb", ["logger=wandb"] if used else [])
        build.say("--wandb_project_name", words, "" if used else "only with --use_wandb")
    for name in OF_OTHER_MODEL[model]:
        build.say(name, [], f"{model} does not read it")
    build.rest()
    build.finish()


def _length_and_rates(build: Builder, rate: str) -> None:
    """Say the length and the learning rate.

    The official rate changes after an epoch. By the policy linear (once called lambda), its last epoch has
    lr / (decay + 1).
    """
    names = ("--n_epochs", "--n_epochs_decay")
    constant, decay = (int(build.number(name)) for name in names)
    policy = build.value("--lr_policy")
    length = [f"iterations=${{epochs:{constant + decay}}}"] if {*names} & set(build.given) else []
    if policy == "step":
        every = build.value("--lr_decay_iters")
        step = f'schedule: step, start: {build.value("--lr")}, factor: {STEP_FACTOR}, every: "${{epochs:{every}}}"'
        build.say(names, length)
        build.say(("--lr_policy", "--lr_decay_iters", "--lr"), [f"{rate}={{{step}}}"])
        return
    if policy in ("linear", "lambda"):
        build.say("--lr_policy", [], DEFAULT_ALREADY)
    else:
        build.say("--lr_policy", [], "has no counterpart: the rate is constant, then falls linearly")
    build.say("--lr_decay_iters", [], "only the policy step reads it")
    falling = [f"{rate}.iterations=${{epochs:{decay + 1}}}", f"{rate}.after=${{epochs:{max(0, constant - 1)}}}"]
    build.say(names, [*length, *falling] if length else [])
    if "--lr" in build.given:
        build.say("--lr", [f"{rate}.start={build.value('--lr')}"])


def _networks(build: Builder, pairs: bool, generators: Sequence[str], discriminators: Sequence[str]) -> None:
    """Say the networks; those of the second generator and discriminator follow the first in the files."""
    generator, discriminator = (f"model.networks.{roles[0]}" for roles in (generators, discriminators))
    if "--netG" in build.given:
        layers = GENERATORS[pairs].get(build.value("--netG"))
        remark = "needs another network, in a file of your own" if layers is None else "" if layers else DEFAULT_ALREADY
        build.say("--netG", [word.format(generator) for word in layers or ()], remark)
    form = build.value("--netD")
    if "--netD" in build.given:
        known = form in ("basic", "n_layers")
        build.say("--netD", [], "a patch discriminator, as here" if known else "has no counterpart")
    if "--n_layers_D" in build.given:
        words = [f"{discriminator}.num_layers={build.value('--n_layers_D')}"] if form == "n_layers" else []
        build.say("--n_layers_D", words, "" if words else "only --netD n_layers reads it")
    if "--ngf" in build.given:
        build.say("--ngf", [f"{generator}.base_width={build.value('--ngf')}"])
    if "--ndf" in build.given:
        build.say("--ndf", [f"{discriminator}.base_width={build.value('--ndf')}"])
    if "--norm" in build.given:
        norm = build.value("--norm")
        roles = [generators[0], *discriminators] if norm in ("instance", "batch") else []
        words = [f"model.networks.{role}.norm={norm}" for role in roles]
        build.say("--norm", words, "" if words else "has no counterpart; only instance and batch are there")
    if "--no_dropout" in build.given:
        words = [f"{generator}.dropout=false"] if pairs else []
        build.say("--no_dropout", words, "" if pairs else DEFAULT_ALREADY)


def _loss(build: Builder, pairs: bool) -> None:
    """Say the adversarial loss. The official models compute no gradient penalty, also not with wgangp."""
    if "--no_lsgan" in build.given:
        build.say("--no_lsgan", ["model.losses.adversarial.name=non_saturating"])
    if "--gan_mode" not in build.given:
        return
    mode = build.value("--gan_mode")
    penalty = "model.weights.discriminator.gradient_penalty=10"
    remark = "" if mode in LOSSES else "has no counterpart"
    if mode == "wgangp":
        remark = "the official models compute no gradient penalty" + ("" if pairs else f"; add one by {penalty}")
    words = [f"model.losses.adversarial.name={LOSSES[mode]}"] if mode in LOSSES else []
    build.say("--gan_mode", words, remark)


def _images(build: Builder) -> None:
    """Say the sizes: images are resized to 286 / 256 of the crop, as the official defaults do, or to data.load_size."""
    crop, load = int(build.number("--crop_size")), int(build.number("--load_size"))
    if "--crop_size" in build.given:
        build.say("--crop_size", [f"data.image_size={crop}"])
    if "--load_size" in build.given:
        words = [f"data.load_size={load}"] if load > crop else ["data.augment=flip"]
        if "--no_flip" in build.given:
            build.say("--load_size", [], "data.augment=none does not crop")
        elif load == round(crop * 286 / 256):
            build.say("--load_size", [], DEFAULT_ALREADY)
        else:
            build.say("--load_size", words, "" if load > crop else "images are not cropped")
    if "--preprocess" in build.given:
        usual_form = build.value("--preprocess") == "resize_and_crop"
        remark = "images are resized to a square; data.crop=square cuts the middle out"
        build.say("--preprocess", [], DEFAULT_ALREADY if usual_form else remark)
    if "--no_flip" in build.given:
        build.say("--no_flip", ["data.augment=none"], "" if load == crop else "without the random crop, too")


def _devices(build: Builder) -> None:
    processes = build.line.processes
    ids = [part for part in build.value("--gpu_ids").split(",") if part]
    if "--gpu_ids" in build.given and ids == ["-1"]:
        build.say("--gpu_ids", ["trainer=cpu"])
    elif len(ids) > 1:
        words = ["trainer=ddp", f"trainer.devices=[{','.join(ids)}]"]
        build.say("--gpu_ids", words, "the batch is that of all GPUs together")
    elif "--gpu_ids" in build.given:
        build.say("--gpu_ids", [], "a GPU is used if there is one; CUDA_VISIBLE_DEVICES chooses it")
    if processes > 1:
        words = ["trainer=ddp", f"trainer.devices={processes}"]
        remark = "data.batch_size must be a multiple; it is that of all GPUs"
        build.rows.append(Row(f"(processes: {processes})", " ".join(words), remark))
        build.words += [word for word in words if word not in build.words]
        if "--batch_size" not in build.given:
            build.words.append(f"data.batch_size={processes}")


# --- use -----------------------------------------------------------------------------------------------------


def _test(build: Builder, model: str) -> None:
    folder = f"{build.folder('--checkpoints_dir').removeprefix('./')}/{build.value('--name')}"
    root, epoch = build.folder("--dataroot"), build.value("--epoch")
    phase = build.value("--phase") if "--phase" in build.given else "test"  # the default of test.py
    output = f"{build.folder('--results_dir').removeprefix('./')}/{build.value('--name')}"
    pairs = model == "pix2pix" or (model == "test" and "unet" in build.value("--netG"))
    sides = [("_A", "A"), ("_B", "B")] if model == "cycle_gan" else [("", "")]
    kind = f"model={'pix2pix' if pairs else 'cyclegan'}"
    for suffix, side in sides:
        weights = f"weights={folder}/{epoch}_net_G{suffix}.pth"
        inputs = f"input={root if model == 'test' else f'{root}/{phase}{side}'}"
        build.commands.append(("apply", weights, kind, inputs, f"output={output}{side and '/' + side}"))
    first = build.commands[0][1:]
    build.say(("--name", "--checkpoints_dir", "--epoch"), [first[0]], "the file as it is")
    build.say("--model", [kind], "and a command for each direction" if len(sides) > 1 else "")
    halves = "apply takes the source images alone: cut files of two images side by side in half"
    build.say(("--dataroot", "--phase"), [first[2]], halves if model == "pix2pix" else "")
    build.say("--results_dir", [first[3]])
    for name in ("--direction", "--netG", "--ngf", "--norm", "--no_dropout"):
        build.say(name, [], IN_THE_WEIGHTS)
    build.say("--dataset_mode", [], "follows from the model")
    build.say("--num_test", [], "all images are translated")
    build.say("--eval", [], "norms use the statistics of each image, as the official code without this flag")
    for name in ("--load_size", "--crop_size", "--preprocess", "--no_flip"):
        build.say(name, [], "a translation has the size of its input")
    build.say("--gpu_ids", [], "a GPU is used if there is one; device=cpu takes the CPU")
    build.rest(used=False)


PROJECT = Project("junyanz/pytorch-CycleGAN-and-pix2pix", ("train.py", "test.py"), OPTIONS, build)
