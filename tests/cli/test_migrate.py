"""Command lines of the official programs, those of their README files first: the result composes and checks clean."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from translate.cli import command, main
from translate.commands import evaluate
from translate.commands.arguments import parse
from translate.config.compose import load
from translate.config.schema import RunConfig
from translate.doctor.migrate import PROJECTS, migrate
from translate.errors import UserError

V2 = "--lambda_reg 1 --lambda_sty 1 --lambda_cyc 1"
HQ = "--train_img_dir data/celeba_hq/train --val_img_dir data/celeba_hq/val"
AFHQ = "--train_img_dir data/afhq/train --val_img_dir data/afhq/val"
CELEBA = "--dataset CelebA --image_size 128 --c_dim 5"
ATTRIBUTES = "--selected_attrs Black_Hair Blond_Hair Brown_Hair Male Young"
OUTPUTS = "--sample_dir s/samples --log_dir s/logs --model_save_dir s/models --result_dir s/results"

TRAINING = {
    "v2, CelebA-HQ": f"python main.py --mode train --num_domains 2 --w_hpf 1 --lambda_ds 1 {V2} {HQ}",
    "v2, AFHQ": f"python main.py --mode train --num_domains 3 --w_hpf 0 --lambda_ds 2 {V2} {AFHQ}",
    "v1, CelebA": f"python main.py --mode train {CELEBA} {OUTPUTS} {ATTRIBUTES}",
    "v1, RaFD": f"python main.py --mode train --dataset RaFD --image_size 128 --c_dim 8 {OUTPUTS}",
    "v1, both": f"python main.py --mode=train --dataset Both --image_size 256 --c_dim 5 --c2_dim 8 {OUTPUTS}",
    "v1, own": "python main.py --mode train --dataset RaFD --rafd_crop_size 200 --image_size 128 --c_dim 3 "
    f"--rafd_image_dir data/afhq/train {OUTPUTS}",
    "CycleGAN": "python train.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan",
    "CycleGAN, GPUs": "torchrun --nproc_per_node=4 train.py --dataroot ./datasets/maps --name m --model cycle_gan",
    "pix2pix": "python train.py --dataroot ./datasets/facades --name f_pix2pix --model pix2pix --direction BtoA",
}

SAMPLE = "python main.py --mode sample --num_domains 2 --resume_iter 100000 --w_hpf 1"
USE = {
    "v2, sample": (
        f"{SAMPLE} --checkpoint_dir expr/checkpoints/celeba_hq --result_dir expr/results/celeba_hq "
        "--src_dir assets/representative/celeba_hq/src --ref_dir assets/representative/celeba_hq/ref",
        "apply",
    ),
    "v2, align": (
        "python main.py --mode align --inp_dir assets/custom/female --out_dir assets/celeba_hq/src/female",
        "align",
    ),
    "v2, eval": (
        f"python main.py --mode eval --num_domains 2 --w_hpf 1 --resume_iter 100000 {HQ} "
        "--checkpoint_dir expr/checkpoints/celeba_hq --eval_dir expr/eval/celeba_hq",
        "evaluate",
    ),
    "v1, CelebA": (f"python main.py --mode test {CELEBA} {OUTPUTS} {ATTRIBUTES}", "apply"),
    "v1, RaFD": (f"python main.py --mode test --dataset RaFD --image_size 128 --c_dim 8 {OUTPUTS}", "apply"),
    "CycleGAN": ("python test.py --dataroot ./datasets/maps --name maps_cyclegan --model cycle_gan", "apply"),
    "CycleGAN, one way": (
        "python test.py --dataroot datasets/horse2zebra/testA --name horse2zebra_pretrained --model test --no_dropout",
        "apply",
    ),
    "pix2pix": (
        "python test.py --dataroot ./datasets/facades/ --direction BtoA --model pix2pix --name f_pretrained",
        "apply",
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the data of the README files, a few images of each."""
    root = tmp_path_factory.mktemp("official")

    def fill(folder: str, names: list[str], width: int = 16) -> None:
        (root / folder).mkdir(parents=True)
        for number, name in enumerate(names):
            pixels = np.full((16, width, 3), 10 * number, np.uint8)
            Image.fromarray(pixels).save(root / folder / name)

    files = [f"{number}.png" for number in range(4)]
    for split in ("train", "val"):
        for name in ("cat", "dog", "wild"):
            fill(f"data/afhq/{split}/{name}", files)
        for name in ("female", "male"):
            fill(f"data/celeba_hq/{split}/{name}", files)
    fill("data/celeba/images", files)
    attributes = "Black_Hair Blond_Hair Brown_Hair Male Young"
    rows = "".join(f"{name} 1 -1 -1 {1 - 2 * (n % 2)} 1\n" for n, name in enumerate(files))
    (root / "data/celeba/list_attr_celeba.txt").write_text(f"4\n{attributes}\n{rows}")
    for name in ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised"):
        fill(f"data/RaFD/train/{name}", files)
    for name in ("trainA", "trainB", "testA", "testB"):
        fill(f"datasets/maps/{name}", files)
    for name in ("train", "val", "test"):
        fill(f"datasets/facades/{name}", files, 32)
    return root


@pytest.fixture(autouse=True)
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def trained(line: str) -> RunConfig:
    """Return the checked configuration of a training command line."""
    (words,) = migrate(shlex.split(line)).commands
    return load(words)


@pytest.mark.parametrize("line", TRAINING.values(), ids=TRAINING)
def test_training_checks_clean(line: str) -> None:
    migration = migrate(shlex.split(line))
    options = {word.partition("=")[0] for word in shlex.split(line) if word.startswith("--") and "nproc" not in word}
    assert {row.option.split()[0] for row in migration.rows if row.option.startswith("--")} == options
    assert all(row.ours or row.remark or row.option.startswith("--mode") for row in migration.rows)
    assert trained(line).iterations > 0


@pytest.mark.parametrize(("line", "last"), USE.values(), ids=USE)
def test_using_a_model_parses(line: str, last: str) -> None:
    commands = migrate(shlex.split(line)).commands
    assert commands[-1][0] == last
    for name, *words in commands:
        arguments = parse(command(name), words)
        if name == "evaluate":
            assert evaluate.metrics_of(arguments)


def test_what_the_official_defaults_differ_in_is_written() -> None:
    """--w_hpf is 1 there and 0 here; a data set of unknown faces gets masks too."""
    line = "python main.py --mode train --train_img_dir data/afhq/train --val_img_dir data/afhq/val --num_domains 3"
    networks = trained(line).model.networks
    assert networks["generator"]["w_hpf"] == 1.0
    assert "masks" in networks
    assert trained(TRAINING["v2, AFHQ"]).model.networks["generator"]["w_hpf"] == 0.0


def test_changed_options_arrive_in_the_configuration() -> None:
    config = trained(
        f"python main.py --mode train --num_domains 3 --w_hpf 0 {AFHQ} --img_size 128 --style_dim 32 --latent_dim 8 "
        "--lambda_reg 2 --lambda_ds 3 --ds_iter 5000 --total_iters 7000 --batch_size 4 --lr 2e-4 --f_lr 2e-6 "
        "--beta1 0.5 --seed 5 --weight_decay 0 --randcrop_prob 0 --print_every 20 --save_every 500 --hidden_dim 256"
    )
    assert (config.data.image_size, config.data.batch_size, config.data.augment) == (128, 4, "flip")
    assert (config.iterations, config.seed, config.log_every, config.checkpoint_every) == (7000, 5, 20, 500)
    optimizers, weights = config.model.optimizers, config.model.weights
    assert [optimizers[role]["lr"] for role in ("generator", "mapping")] == [2e-4, 2e-6]
    assert all(each["betas"] == [0.5, 0.99] and each["weight_decay"] == 0 for each in optimizers.values())
    assert weights["discriminator"]["r1"] == 2
    assert (weights["generator"]["diversity"]["start"], weights["generator"]["diversity"]["iterations"]) == (3, 5000)
    assert config.model.networks["mapping"]["style_size"] == 32
    assert config.model.arguments["latent_size"] == 8


def test_changed_options_of_stargan() -> None:
    config = trained(
        "python main.py --dataset CelebA --image_size 64 --batch_size 8 --num_iters 5000 --num_iters_decay 1000 "
        "--g_lr 0.0002 --n_critic 2 --lambda_cls 2 --lambda_rec 5 --lambda_gp 1 --g_conv_dim 16 --d_repeat_num 5 "
        "--celeba_crop_size 100 --selected_attrs Male Young"
    )
    assert config.data.arguments["attributes"] == ["Male", "Young"]
    assert config.data.arguments["crop"] == 100
    rate = config.model.optimizers["generator"]["lr"]
    assert (rate["start"], rate["iterations"], rate["after"]) == (0.0002, 1000, 4000)
    assert config.iterations == 5000
    changed = {"classification": 2, "reconstruction": 5}
    assert config.model.weights["generator"] == {"adversarial": 1.0, **changed, "variation": 0.0}
    assert config.model.networks["generator"]["base_width"] == 16


@pytest.mark.parametrize("model", ["cycle_gan", "pix2pix"])
def test_changed_options_of_cyclegan_and_pix2pix(model: str) -> None:
    root, form = ("maps", "resnet_6blocks") if model == "cycle_gan" else ("facades", "unet_128")
    config = trained(
        f"python train.py --dataroot datasets/{root} --name x --model {model} --netG {form} --crop_size 128 "
        "--load_size 143 --n_epochs 10 --n_epochs_decay 20 --lr 0.0001 --beta1 0.6 --ngf 32 --ndf 16 --n_layers_D 2 "
        "--norm instance --pool_size 9 --lambda_A 7 --lambda_L1 50 --lambda_identity 0 --gpu_ids -1 --print_freq 7 "
        "--save_epoch_freq 2 --gan_mode vanilla --no_flip --display_id 0"
    )
    assert config.trainer.accelerator == "cpu"
    assert (config.data.image_size, config.log_every, config.data.augment) == (128, 7, "none")
    assert config.iterations == 4 * 30
    assert config.checkpoint_every == 4 * 2
    for optimizer in config.model.optimizers.values():
        rate = optimizer["lr"]
        assert (rate["start"], rate["iterations"], rate["after"]) == (1e-4, 4 * 21, 4 * 9)
        assert optimizer["betas"] == [0.6, 0.999]
    assert {node["norm"] for node in config.model.networks.values()} == {"instance"}
    weights = config.model.weights["generator"]
    if model == "cycle_gan":
        assert (weights["cycle_a"], weights["identity_b"], config.model.arguments["pool_size"]) == (7, 0, 9)
        assert config.model.networks["generator_ba"]["num_blocks"] == 6
    else:
        assert weights["l1"] == 50
        assert config.model.networks["generator"]["num_downsamplings"] == 7


@pytest.mark.parametrize(
    ("load", "augment", "load_size"),
    [(286, "resize_crop_flip", None), (300, "resize_crop_flip", 300), (256, "flip", None)],
)
def test_the_size_before_the_crop(load: int, augment: str, load_size: int | None) -> None:
    config = trained(f"python train.py --dataroot datasets/maps --name x --model cycle_gan --load_size {load}")
    assert (config.data.augment, config.data.load_size) == (augment, load_size)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_every_option_has_an_answer(project: object) -> None:
    """No option of any project passes without words of ours or a remark."""
    silent = []
    for script in project.scripts:  # type: ignore[attr-defined]
        for name, option in project.options.items():  # type: ignore[attr-defined]
            if name in ("--mode", "--model"):
                continue
            value = [] if option.flag else ["Male"] if option.many else [option.default or "1"]
            mode = ["--mode", "train"] if script == "main.py" else []
            if name != "--dataroot" and script != "main.py":
                mode = ["--dataroot", "x"]
            other = "--lambda_sty" if "stargan-v2" in project.name else "--c_dim"  # type: ignore[attr-defined]
            marker = [other, "1"] if script == "main.py" and name != other else []
            rows = migrate([script, *mode, *marker, name, *value]).rows
            silent += [name for row in rows if row.option.split()[0] == name and not (row.ours or row.remark)]
    assert silent == []


def test_the_command_prints_a_table_and_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = TRAINING["v2, AFHQ"] + " --hidden_dim 256 --colour red"
    assert main(["migrate", "--", *shlex.split(line)]) == 0
    separate = capsys.readouterr().out
    assert main(["migrate", line]) == 0
    assert capsys.readouterr().out == separate
    assert separate.startswith("clovaai/stargan-v2\n")
    assert "the official networks do not read it" in " ".join(separate.split())
    assert "--colour red" in separate
    assert separate.rstrip().splitlines()[-1] == (
        "python -m translate model=stargan_v2 data=afhq data.root=data/afhq model.weights.generator.diversity.start=2"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ls -l", "no script is called"),
        ("python mian.py --mode train", "unknown script 'mian.py'"),
        ("python train.py --model colorization --dataroot x", "this model has no counterpart"),
        ("python main.py --mode train --lambda_ds", "--lambda_ds: the value is missing"),
        ("python main.py --mode train --lambda_sty 1 --lambda_ds much", "--lambda_ds: found 'much', expected a number"),
        ("python main.py --mode dance --lambda_sty 1", "--mode: unknown value 'dance'"),
        (
            "python main.py --mode train --lambda_sty 1 --img_size 1e5",
            "--img_size: found '1e5', expected a whole number",
        ),
        ("python main.py --lambda_sty 1", "--mode: the official program needs this option. Known: train, sample"),
        ("python train.py --name x", "--dataroot: the official program needs this option"),
        ("python train.py --dataroot x --n_epo 3", "this option can be any of several '--n_epo'"),
        ("python train.py --dataroot x --model test", "test.py alone reads this model"),
        ("python main.py --mode train", "these options are those of clovaai/stargan-v2 and of yunjey/stargan"),
        ("bash scripts/train_cyclegan.sh", "Fix: give the line inside the script that begins with python"),
    ],
)
def test_other_lines_are_refused(line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        migrate(shlex.split(line))
    assert words in str(caught.value)


def same(one: str, *other: str) -> bool:
    """Return whether two command lines, the first of them as a text, become the same commands."""
    return migrate([one]).commands == migrate(list(other)).commands


PIX2PIX = ("python", "train.py", "--dataroot", "a b", "--model", "pix2pix", "--n_epochs", "3")


@pytest.mark.parametrize(
    "text",
    [
        "python train.py --dataroot 'a b' \\\n  --model pix2pix \\\n --n_epochs 3",
        "python train.py --dataroot 'a b' ^\r\n --model pix2pix ^\r\n --n_epochs 3",
        "# a remark\n$ python3 -u train.py --dataroot 'a b'   # another\n  --model pix2pix --n_epochs=3",
        "!python train.py --dataroot='a b' --model=pix2pix --niter 3",
        "python train.py --n_epochs 9 --dataro 'a b' --model pix2pix --n_epochs 3 > log.txt 2>&1 &",
        "conda activate x; cd code && python train.py --dataroot 'a b' --model pix2pix --n_epochs 3 && echo done",
        "set -ex\npython train.py --dataroot 'a b' --model pix2pix --n_epochs 3\npython test.py --dataroot c",
    ],
)
def test_a_text_is_read_as_a_shell_and_argparse_do(text: str) -> None:
    assert same(text, *PIX2PIX)


def test_paths_of_windows_and_names_of_earlier_versions() -> None:
    old = "python train.py --dataroot .\\datasets\\maps --which_direction BtoA --fineSize 128 --loadSize 128 --no_lsgan"
    new = "train.py --dataroot ./datasets/maps --direction BtoA --crop_size 128 --load_size 128 --gan_mode vanilla"
    assert same(old, *new.split())
    assert "data.augment=flip" in migrate([old]).commands[0]  # no random crop
    older = "python main.py --mode train --metadata_path d/t.txt --celebA_image_path d/images --d_train_repeat 2"
    newer = "main.py --attr_path d/t.txt --celeba_image_dir d/images --n_critic 2"
    assert same(older, *newer.split())


def test_what_is_not_read_has_a_row() -> None:
    text = "CUDA_VISIBLE_DEVICES=1 python train.py --dataroot x --lr 1 --lr 2 --netg unet_256 && python test.py"
    migration = migrate([text])
    remarks = {row.option: row.remark for row in migration.rows}
    assert remarks["--lr 1"] == "a later value of this option replaces it"
    assert remarks["--netg unet_256"] == "not an option of this project; the nearest one is --netG"
    assert remarks["python test.py"] == "a further command, which is not read"
    assert migration.lines()[0].startswith("CUDA_VISIBLE_DEVICES=1 python -m translate model=cyclegan")


def test_the_folder_of_a_script_tells_projects_apart() -> None:
    assert migrate(["cd stargan-v2 && python main.py --mode train"]).project.name == "clovaai/stargan-v2"
    assert migrate(["python", "code/stargan/main.py", "--mode", "train"]).project.name == "yunjey/stargan"


def test_the_policy_step_is_a_schedule() -> None:
    line = (
        "python train.py --dataroot datasets/maps --name m --lr_policy step --lr_decay_iters 7 --lr 0.001 --n_epochs 3"
    )
    config = trained(line)
    assert config.iterations == 4 * 103
    rate = {"schedule": "step", "start": 0.001, "factor": 0.1, "every": 4 * 7}
    assert [optimizer["lr"] for optimizer in config.model.optimizers.values()] == [rate] * 4


def test_wgangp_is_without_a_penalty_as_in_the_official_models() -> None:
    config = trained("python train.py --dataroot datasets/maps --name m --gan_mode wgangp --n_layers_D 5")
    assert config.model.losses["adversarial"]["name"] == "wasserstein"
    assert config.model.weights["discriminator"]["gradient_penalty"] == 0
    assert config.model.networks["discriminator_a"]["num_layers"] == 3  # --netD basic does not read --n_layers_D


def test_a_command_that_training_refuses_ends_with_the_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", *["python", "main.py", "--mode", "train", "--lambda_sty", "1", "--batch_size", "-3"]]) == 2
    captured = capsys.readouterr()
    assert "data.batch_size=-3" in captured.out
    assert captured.err == "data.batch_size: found -3, expected at least 1\n"


@pytest.mark.parametrize("text", ["", "python train.py --dataroot 'x", "python train.py --dataroot x=y; --a=b"])
def test_a_quoted_text_is_not_an_argument(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["migrate", text])
    assert (code, "unknown argument" in capsys.readouterr().err) == (0 if "a=b" in text else 2, False)
