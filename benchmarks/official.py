"""Iterations of the official repositories by their own networks and their own update code, from checkouts of the user.

    git clone https://github.com/clovaai/stargan-v2
    python benchmarks/against_plain.py stargan_v2 --size 256 --batch 8 --device cuda --official stargan-v2

The checkouts are the repositories clovaai/stargan-v2, yunjey/stargan and junyanz/pytorch-CycleGAN-and-pix2pix, with the
packages that they import (munch and others) installed. Their training loops run unchanged, one iteration a call, on the
batches of the other sides. Nothing is read from or written to disk by an iteration. Weights are random, since they do
not change the time.
"""

import contextlib
import importlib
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

NEVER = 10**9
MODULES = {"stargan_v2": "core/solver.py", "stargan_v1": "solver.py", "cyclegan": "models/cycle_gan_model.py"}
"""For each model, the file of a checkout that holds the training loop."""

ATTRIBUTES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"]


def official_step(name: str, checkout: Path, batches: Any) -> Callable[[int], None]:
    """Return the iteration of an official repository as a function of a number, on a device that the repository uses.

    SystemExit if the folder is no such checkout, or if its code would take another device.
    """
    file = checkout / MODULES[name]
    if not file.is_file():
        raise SystemExit(f"--official: {checkout} has no {MODULES[name]}, so it is no checkout of {name}'s repository")
    if name != "cyclegan" and torch.cuda.is_available() != (batches.device.type == "cuda"):
        raise SystemExit(
            "--official: this code uses a GPU where there is one; hide it by CUDA_VISIBLE_DEVICES= for a CPU"
        )
    sys.path.insert(0, str(checkout.resolve()))
    module = importlib.import_module(MODULES[name].removesuffix(".py").replace("/", "."))
    with contextlib.redirect_stdout(io.StringIO()):
        step: Callable[[int], None] = STEPS[name](module, batches)

    def silently(k: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            step(k)

    return silently


def stargan_v2(module: Any, batches: Any) -> Callable[[int], None]:
    """Return the iteration of `Solver.train`: codes and references, without high-pass skip connections (AFHQ)."""
    args = SimpleNamespace(
        img_size=batches.size,
        num_domains=3,
        latent_dim=16,
        hidden_dim=512,
        style_dim=64,
        lambda_reg=1.0,
        lambda_cyc=1.0,
        lambda_sty=1.0,
        lambda_ds=1.0,
        ds_iter=NEVER,
        w_hpf=0,
        lr=1e-4,
        f_lr=1e-6,
        beta1=0.0,
        beta2=0.99,
        weight_decay=1e-4,
        mode="train",
        checkpoint_dir=tempfile.mkdtemp(),
        sample_dir=tempfile.mkdtemp(),
        eval_dir=tempfile.mkdtemp(),
        print_every=NEVER,
        sample_every=NEVER,
        save_every=NEVER,
        eval_every=NEVER,
        resume_iter=0,
        total_iters=0,
    )
    solver = module.Solver(args)
    solver._load_checkpoint = lambda step: None
    fetched: list[Any] = []
    module.InputFetcher = lambda *_: iter(fetched * 2)  # the loop fetches validation images too

    def step(k: int) -> None:
        b = batches.stargan_v2(k)
        fetched[:] = [
            SimpleNamespace(
                x_src=b.image,
                y_src=b.domain,
                y_ref=b.target,
                x_ref=b.reference,
                x_ref2=b.reference2,
                z_trg=b.code,
                z_trg2=b.code2,
            )
        ]
        args.resume_iter, args.total_iters = k, k + 1
        solver.train(SimpleNamespace(src=None, ref=None, val=None))

    return step


def stargan_v1(module: Any, batches: Any) -> Callable[[int], None]:
    """Return the iteration of `Solver.train` on CelebA: D learns each time, G every fifth time."""
    folders = {name: tempfile.mkdtemp() for name in ("log_dir", "sample_dir", "model_save_dir", "result_dir")}
    config = SimpleNamespace(
        **folders,
        c_dim=len(ATTRIBUTES),
        c2_dim=8,
        image_size=batches.size,
        g_conv_dim=64,
        d_conv_dim=64,
        g_repeat_num=6,
        d_repeat_num=6,
        lambda_cls=1.0,
        lambda_rec=10.0,
        lambda_gp=10.0,
        dataset="CelebA",
        batch_size=batches.batch,
        num_iters=NEVER,
        num_iters_decay=0,
        g_lr=1e-4,
        d_lr=1e-4,
        n_critic=5,
        beta1=0.5,
        beta2=0.999,
        resume_iters=None,
        selected_attrs=ATTRIBUTES,
        test_iters=NEVER,
        use_tensorboard=False,
        log_step=NEVER,
        sample_step=NEVER,
        model_save_step=NEVER,
        lr_update_step=NEVER,
    )
    solver = module.Solver(None, None, config)
    solver.restore_model = lambda iteration: None

    def step(k: int) -> None:
        (b,) = batches.stargan_v1(k)
        solver.celeba_loader = [(b.image, b.label)] * 2  # the loop fetches images for samples too
        solver.resume_iters, solver.num_iters = k, k + 1
        solver.train()

    return step


def cyclegan(module: Any, batches: Any) -> Callable[[int], None]:
    """Return `CycleGANModel.optimize_parameters` with six residual blocks and no pool, as the other sides have."""
    on_gpu = batches.device.type == "cuda"
    opt = SimpleNamespace(
        gpu_ids=[batches.device.index or 0] if on_gpu else [],
        device=batches.device,
        isTrain=True,
        checkpoints_dir=tempfile.mkdtemp(),
        name="benchmark",
        preprocess="resize_and_crop",
        direction="AtoB",
        input_nc=3,
        output_nc=3,
        ngf=64,
        ndf=64,
        netG="resnet_6blocks",
        netD="basic",
        n_layers_D=3,
        norm="instance",
        no_dropout=True,
        init_type="normal",
        init_gain=0.02,
        gan_mode="lsgan",
        lambda_A=10.0,
        lambda_B=10.0,
        lambda_identity=0.5,
        pool_size=0,
        lr=2e-4,
        beta1=0.5,
    )
    model = module.CycleGANModel(opt)

    def step(k: int) -> None:
        a, b = batches.cyclegan(k)
        model.set_input({"A": a, "B": b, "A_paths": [], "B_paths": []})
        model.optimize_parameters()

    return step


STEPS: dict[str, Callable[[Any, Any], Callable[[int], None]]] = {
    "stargan_v2": stargan_v2,
    "stargan_v1": stargan_v1,
    "cyclegan": cyclegan,
}
