"""StarGAN v2 against figures measured on the published implementation: forward, three iterations, weights, averages.

How near is near? The losses and gradients of the first update agree to 1e-4. From there on float32 itself is
the limit: Adam's first step is the sign of the gradient, the L1 terms have kinks, so rounding is amplified: by up to
1.5e-3 within the first iteration, on another processor. The same code on the same machine moves
by as much as 7 % in a loss of the third iteration when only the number of threads or the instruction set changes
(seen with one and two threads, AVX2 against AVX-512), and the float64 result differs from the published float32 one
as much. Hence tolerances by iteration, and `test_stargan_v2_plain.py`, which compares in float64, where three
iterations must agree to 1e-7.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from numerics.formula import code, draw, fill, image, summary
from translate.data.views.reference import ReferenceBatch
from translate.losses.adversarial import NonSaturating
from translate.models.stargan_v2 import StarGANv2
from translate.networks.stargan_v2 import Discriminator, Generator, MappingNetwork, StyleEncoder

GOLDEN = Path(__file__).parent / "golden"
PUBLISHED = {"generator": "generator", "mapping": "mapping_network", "style_encoder": "style_encoder"}
PUBLISHED["discriminator"] = "discriminator"
FIRST = (0, "discriminator", "latent")
TOLERANCE = [5e-3, 5e-2, 3e-1]  # relative, of losses, by iteration, from the second update on
GRADIENTS = {True: 1e-4, False: 1e-1}  # relative, of the first update and of those that follow it
TERMS = {"adversarial": "adv", "style": "sty", "diversity": "ds", "cycle": "cyc", "r1": "reg"}


def networks_of(golden: dict) -> dict[str, torch.nn.Module]:
    size, width, domains = golden["img_size"], golden["max_conv_dim"], golden["num_domains"]
    networks: dict[str, torch.nn.Module] = {
        "generator": Generator(size, golden["style_dim"], max_width=width, w_hpf=golden["w_hpf"]),
        "mapping": MappingNetwork(domains, golden["latent_dim"], golden["style_dim"]),
        "style_encoder": StyleEncoder(domains, size, golden["style_dim"], max_width=width),
        "discriminator": Discriminator(domains, size, max_width=width),
    }
    for role, network in networks.items():
        fill(network, golden["tag"], PUBLISHED[role])
    return networks


def batch_of(golden: dict, k: int) -> ReferenceBatch:
    tag, n, size = golden["tag"], golden["batch"], golden["img_size"]
    return ReferenceBatch(
        image=image(tag, "x_real", k, n, size),
        domain=torch.tensor(golden["y_org"]),
        target=torch.tensor(golden["y_trg"]),
        reference=image(tag, "x_ref", k, n, size),
        reference2=image(tag, "x_ref2", k, n, size),
        code=code(tag, "z_trg", k, n, golden["latent_dim"]),
        code2=code(tag, "z_trg2", k, n, golden["latent_dim"]),
    )


def masks_of(golden: dict, k: int) -> list[torch.Tensor]:
    shape = (golden["batch"], 1, golden["img_size"], golden["img_size"])
    return [torch.from_numpy(np.abs(draw(f"{golden['tag']}/mask{j}/{k}", shape)).clip(0, 1)) for j in (0, 1)]


@pytest.mark.parametrize("tag", ["stargan_v2_afhq64", "stargan_v2_hpf128"])
def test_forward_equals_published(tag: str) -> None:
    golden = json.loads((GOLDEN / f"{tag}.json").read_text())
    wanted = np.load(GOLDEN / f"{tag}.npz")
    networks, batch = networks_of(golden), batch_of(golden, 0)
    with torch.no_grad():
        style = networks["mapping"](batch.code, batch.target)
        masks = masks_of(golden, 0) if golden["w_hpf"] else None
        fake = networks["generator"](batch.image, style, masks)
        found = {
            "s_latent": style,
            "s_ref": networks["style_encoder"](batch.reference, batch.target),
            "x_fake": fake,
            "d_real": networks["discriminator"](batch.image, batch.domain),
            "d_fake": networks["discriminator"](fake, batch.target),
        }
    for name, value in found.items():
        error = np.abs(value.numpy() - wanted[name]).max() / np.abs(wanted[name]).max()
        assert error < 1e-5, (name, error)


def test_layout_equals_published() -> None:
    for tag in ("stargan_v2_afhq64", "stargan_v2_hpf128"):
        golden = json.loads((GOLDEN / f"{tag}.json").read_text())
        for role, network in networks_of(golden).items():
            wanted = {key: tuple(shape) for key, shape in golden["layout"][PUBLISHED[role]]}
            if golden["w_hpf"]:  # weights that the published decoder owns and never reads
                wanted = {k: v for k, v in wanted.items() if not (k.startswith("decode") and "conv1x1" in k)}
            wanted.pop("hpf.filter", None)
            found = {key: tuple(value.shape) for key, value in network.named_parameters()}
            assert found == wanted, role


def make_model(golden: dict) -> StarGANv2:
    adam = golden["adam"]
    optimizer = partial(torch.optim.Adam, lr=adam["lr"], betas=tuple(adam["betas"]), weight_decay=adam["weight_decay"])
    lambdas = golden["lambdas"]
    diversity = {"schedule": "linear", "start": lambdas["ds"], "end": 0.0, "iterations": lambdas["ds_iter"]}
    return StarGANv2(
        networks=networks_of(golden),
        optimizers={
            "generator": optimizer,
            "mapping": partial(optimizer, lr=adam["f_lr"]),
            "style_encoder": optimizer,
            "discriminator": optimizer,
        },
        losses={"adversarial": NonSaturating()},
        weights={
            "discriminator": {"real": 1.0, "fake": 1.0, "r1": lambdas["reg"]},
            "generator": {
                "adversarial": 1.0,
                "style": lambdas["sty"],
                "diversity": diversity,
                "cycle": lambdas["cyc"],
            },
        },
        ema_decay=golden["ema"],
    )


def before_instance_norm(role: str, key: str) -> bool:
    """Tell whether a parameter is a bias whose true gradient is zero, so that Adam makes noise of it."""
    if not role.startswith("generator") or not key.endswith("bias"):
        return False
    return "conv" in key or key == "from_rgb.bias"


def test_three_iterations_equal_published(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = json.loads((GOLDEN / "stargan_v2_afhq64.json").read_text())
    model = make_model(golden)
    gradients: list[dict[str, dict[str, torch.Tensor]]] = []

    minimize = StarGANv2._minimize

    def spy(self: StarGANv2, loss: torch.Tensor, roles: tuple[str, ...]) -> None:
        minimize(self, loss, roles)
        named = {role: dict(self.network(role).named_parameters()) for role in roles}
        gradients.append(
            {role: {k: p.grad.clone() for k, p in ps.items() if p.grad is not None} for role, ps in named.items()}
        )

    monkeypatch.setattr(StarGANv2, "_minimize", spy)
    for k, wanted in enumerate(golden["steps"]):
        model.training_step(batch_of(golden, k), k)
        for short, phase in (("d", "discriminator"), ("g", "generator")):
            for suffix, variant in (("latent", "latent"), ("ref", "reference")):
                for term in model.weights[phase]:
                    found = model.terms[f"{phase}/{variant}/{term}"].item()
                    found = -found if term == "diversity" else found
                    figure = wanted[f"{short}_{suffix}"][TERMS.get(term, term)]
                    tolerance = 1e-4 if (k, phase, variant) == FIRST else TOLERANCE[k]
                    assert found == pytest.approx(figure, rel=tolerance), (k, phase, variant, term)
        lambda_ds = model.weights["generator"]["diversity"](model.iteration)
        assert lambda_ds == pytest.approx(wanted["lambda_ds_after"])

    updates = golden["grad_rms_step0"]
    d_latent, _, g_latent, g_reference = gradients[:4]
    expected = [("discriminator", d_latent["discriminator"], updates["d_latent"])]
    expected += [(role, g_latent[role], updates["g_latent"][PUBLISHED[role]]) for role in g_latent]
    expected += [("generator", g_reference["generator"], updates["g_ref"])]
    for role, found_gradients, figures in expected:
        for key, figure in figures.items():
            if before_instance_norm(role, key):
                continue
            rms = found_gradients[key].double().square().mean().sqrt().item()
            assert rms == pytest.approx(figure, rel=GRADIENTS[role == "discriminator"], abs=1e-9), (role, key)

    rate = golden["adam"]["lr"]
    for name, figures in golden["weights_after"].items():
        role = {v: k for k, v in PUBLISHED.items()}[name.removesuffix("_ema")]
        network = model.ema[role] if name.endswith("_ema") else model.network(role)
        parameters = dict(network.named_parameters())
        for key, figure in figures.items():
            if before_instance_norm(role, key):
                continue
            mean, rms, projection = summary(parameters[key])
            # Adam moves a weight with a tiny gradient by up to the rate in either direction
            assert mean == pytest.approx(figure[0], rel=1e-4, abs=0.2 * rate), (name, key)
            assert rms == pytest.approx(figure[1], rel=1e-4, abs=0.2 * rate), (name, key)
            assert projection == pytest.approx(figure[2], rel=1e-4, abs=5.0 * rate), (name, key)
