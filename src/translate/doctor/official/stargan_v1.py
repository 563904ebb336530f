"""yunjey/stargan: the options of its main.py, and our commands for its two modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from translate.doctor.official.builder import DEFAULT_ALREADY, Builder, Project, Row, chosen, key, parent
from translate.doctor.official.options import Option, number, one_of, text, whole

ROLES = ("generator", "discriminator")
EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")
ATTRIBUTES = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
LOGS = "a run writes log.txt, metrics.jsonl and samples/ into its folder"
CLASSIFICATION = ("model.weights.generator.classification={}", "model.weights.discriminator.classification={}")

OPTIONS: Mapping[str, Option] = {
    # model configuration
    "--c_dim": whole("5"),
    "--c2_dim": whole("8"),
    "--celeba_crop_size": whole("178", older=("--celebA_crop_size",)),
    "--rafd_crop_size": whole("256"),
    "--image_size": whole("128", "data.image_size={}", equal=False),
    "--g_conv_dim": whole("64", "model.networks.generator.base_width={}"),
    "--d_conv_dim": whole("64", "model.networks.discriminator.base_width={}"),
    "--g_repeat_num": whole("6", "model.networks.generator.num_blocks={}"),
    "--d_repeat_num": whole("6", "model.networks.discriminator.num_layers={}"),
    "--lambda_cls": number("1", *CLASSIFICATION),
    "--lambda_rec": number("10", "model.weights.generator.reconstruction={}"),
    "--lambda_gp": number("10", "model.weights.discriminator.gradient_penalty={}"),
    # training configuration
    "--dataset": one_of("CelebA RaFD Both", "CelebA"),
    "--batch_size": whole("16", "data.batch_size={}", equal=False),
    "--num_iters": whole("200000"),
    "--num_iters_decay": whole("100000"),
    "--g_lr": number("0.0001", "model.optimizers.generator.lr.start={}"),
    "--d_lr": number("0.0001", "model.optimizers.discriminator.lr.start={}"),
    "--n_critic": whole("5", "model.num_critic={}", older=("--d_train_repeat",)),
    "--beta1": number("0.5"),
    "--beta2": number("0.999"),
    "--resume_iters": whole(""),
    "--selected_attrs": replace(text(""), many=True, older=("--list",)),
    # test configuration
    "--test_iters": whole("200000", remark="apply names the file"),
    # miscellaneous
    "--num_workers": whole("1", "data.num_workers={}", equal=False),
    "--mode": one_of("train test", "train"),
    "--use_tensorboard": text("True", remark="logger=tensorboard"),
    # directories
    "--celeba_image_dir": text("data/celeba/images", remark="not of this data set", older=("--celebA_image_path",)),
    "--attr_path": text("data/celeba/list_attr_celeba.txt", remark="not needed here", older=("--metadata_path",)),
    "--rafd_image_dir": text("data/RaFD/train", remark="not of this data set", older=("--rafd_image_path",)),
    "--log_dir": text("stargan/logs", remark=LOGS, older=("--log_path",)),
    "--model_save_dir": text("stargan/models", older=("--model_save_path",)),
    "--sample_dir": text("stargan/samples", remark="samples/ in the run folder", older=("--sample_path",)),
    "--result_dir": text("stargan/results", remark="an argument of apply: output", older=("--result_path",)),
    # step size
    "--log_step": whole("10", "log_every={}", equal=False),
    "--sample_step": whole("1000", "sample_every={}", equal=False),
    "--model_save_step": whole("10000", "checkpoint_every={}"),
    "--lr_update_step": whole("1000", remark="1000, which variant=official_code sets"),
}


def build(build: Builder) -> None:
    """Add the rows and commands of a command line."""
    mode = build.value("--mode")
    build.say("--mode", [], f"the command {'train' if mode == 'train' else 'apply'}")
    chosen({"train": _train, "test": _test}, "--mode", mode)(build)


# --- training ------------------------------------------------------------------------------------------------


def _train(build: Builder) -> None:
    build.words += ["model=stargan_v1", "variant=official_code"]
    build.rows.append(
        Row(
            "(learning rate)",
            "variant=official_code",
            "the official code hardly lowers the rates; the paper lowers them to 0",
        )
    )
    chosen({"CelebA": _celeba, "RaFD": _rafd, "Both": _celeba_and_rafd}, "--dataset", build.value("--dataset"))(build)
    if {"--num_iters", "--num_iters_decay"} & set(build.given):
        total, decay = int(build.number("--num_iters")), int(build.number("--num_iters_decay"))
        build.say("--num_iters", [f"iterations={total}"])
        schedule = {"iterations": decay, "after": max(0, total - decay)}
        pairs = [(role, name) for role in ROLES for name in schedule]
        build.say("--num_iters_decay", [f"model.optimizers.{role}.lr.{name}={schedule[name]}" for role, name in pairs])
    if {"--beta1", "--beta2"} & set(build.given):
        pair = f"[{build.number('--beta1'):g},{build.number('--beta2'):g}]"
        build.say(("--beta1", "--beta2"), [f"model.optimizers.{role}.betas={pair}" for role in ROLES])
    if "--model_save_dir" in build.given:
        folder = key(parent(build.value("--model_save_dir"))[0])
        build.say("--model_save_dir", [f"folder={folder}"], "checkpoints/ in this folder")
    build.resume("--resume_iters", "--model_save_dir", "N-G.ckpt and N-D.ckpt")
    build.rest()
    build.finish()


def _celeba(build: Builder) -> None:
    images = build.folder("--celeba_image_dir")
    root = parent(build.value("--attr_path"))[0]
    words = ["data=celeba", f"data.root={key(root)}"]
    if images not in (f"{root}/images", f"{root}/img_align_celeba"):
        inside = images.startswith(f"{root}/")
        words.append(f"data.images={key(images[len(root) + 1 :] if inside else images)}")
    build.say(("--dataset", "--celeba_image_dir", "--attr_path"), words)
    build.say("--selected_attrs", [f"data.attributes=[{','.join(_attributes(build))}]"])
    build.say("--c_dim", [], "the number of the attributes")
    crop = int(build.number("--celeba_crop_size"))
    build.say(
        "--celeba_crop_size", [] if crop == 178 else [f"data.crop={crop}"], DEFAULT_ALREADY if crop == 178 else ""
    )


def _attributes(build: Builder) -> tuple[str, ...]:
    return build.given.get("--selected_attrs", ATTRIBUTES)


def _rafd(build: Builder) -> None:
    """Say the data of class folders, which the official code calls RaFD whatever they hold."""
    root, split = parent(build.value("--rafd_image_dir"))
    remark = "" if split == "train" else "the root must hold train/, with the class folders"
    if "rafd" in root.lower():
        words = ["data=rafd", f"data.root={key(root)}"]
    else:
        words = ["data=folder", f"data.root={key(root)}", "data.labels=domain", "data.augment=flip"]
        words += [] if "--batch_size" in build.given else ["data.batch_size=16"]
        words += [] if "--image_size" in build.given else ["data.image_size=128"]
        words += [] if "--num_iters" in build.given else ["iterations=200000"]
    build.say(("--dataset", "--rafd_image_dir"), words, remark)
    build.say("--c_dim", [], "found from the folders")
    if "--rafd_crop_size" in build.given or words[0] == "data=folder":
        build.say("--rafd_crop_size", [f"data.crop={int(build.number('--rafd_crop_size'))}"])


def _celeba_and_rafd(build: Builder) -> None:
    root, rafd = parent(build.value("--attr_path"))[0], parent(build.value("--rafd_image_dir"))[0]
    words = ["data=celeba_rafd", f"data.parts.celeba.root={key(root)}", f"data.parts.rafd.root={key(rafd)}"]
    build.say(("--dataset", "--celeba_image_dir", "--attr_path", "--rafd_image_dir"), words)
    build.say(("--c_dim", "--c2_dim"), [], "found from the data")
    if "--selected_attrs" in build.given:
        build.say("--selected_attrs", [f"data.parts.celeba.attributes=[{','.join(_attributes(build))}]"])
    for option, part in (("--rafd_crop_size", "rafd"), ("--celeba_crop_size", "celeba")):
        if option in build.given:
            build.say(option, [f"data.parts.{part}.crop={int(build.number(option))}"])


# --- use -----------------------------------------------------------------------------------------------------


def _test(build: Builder) -> None:
    step, folder = int(build.number("--test_iters")), build.folder("--model_save_dir")
    build.say(("--model_save_dir", "--test_iters"), [f"weights={folder}/{step}-G.ckpt"], "the file as it is")
    if build.value("--dataset") == "CelebA":
        names = f"domains=[{','.join(_attributes(build))}]"
        build.say(("--selected_attrs", "--c_dim"), [names, "labels=attributes"])
        build.say(("--dataset", "--celeba_image_dir"), [f"input={build.value('--celeba_image_dir')}"], "any images")
    else:
        count = int(build.number("--c_dim"))
        classes = EXPRESSIONS if count == len(EXPRESSIONS) else tuple(map(str, range(count)))
        build.say("--c_dim", [f"domains=[{','.join(classes)}]", "labels=domain"], "the names, in the order of training")
        build.say(("--dataset", "--rafd_image_dir"), [f"input={build.value('--rafd_image_dir')}"], "any images")
    build.say("--image_size", [f"image_size={int(build.number('--image_size'))}"])
    build.say("--result_dir", [f"output={build.value('--result_dir')}"])
    build.rest(used=False)
    build.finish("apply")


PROJECT = Project("yunjey/stargan", ("main.py",), OPTIONS, build)
