"""Train the feature network that ships with the package, and write it with its model card.

    python benchmarks/feature_network.py

The network has the layers of VGG16 at a quarter of the width. It learns from images that this package draws: species,
attributes, pose and colours of critters, and the kinds of painted textures. Batch norms help the training; they are
folded into the convolutions. Then the filters are rescaled so that their mean activation is 1, as in Gatys et al.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from translate.data.datasets.critters import Critters
from translate.data.synthetic.factors import ATTRIBUTES, SPECIES
from translate.data.synthetic.paintings import KINDS, PALETTES, paint
from translate.networks.vgg import VGGFeatures
from translate.weights import pretrained

PLACE = Path(__file__).parents[1] / "src" / "translate" / "networks" / "shipped"
NAME = "critters_vgg"
LICENCE = "apache-2.0"
COMMAND = "python benchmarks/feature_network.py"

BASE_WIDTH, LAST = 16, "relu5_3"
SIDE, DRAWN = 64, 80  # pixels of a crop, and of the drawing that it is cut from
NUM_CRITTERS, NUM_PAINTINGS = 4_800, 24  # images; paintings of each kind
CRITTERS_A_BATCH, CROPS_A_BATCH = 24, 16
ITERATIONS, RATE = 1_200, 2e-3
LEAST = 0.2  # of a layer's mean activation: filters that are rarely active are not enlarged further
HELD_OUT_SEED = 1_000  # of paintings


@dataclass(frozen=True)
class Drawn:
    """Drawings, 8 bits, with what is known of them."""

    critters: np.ndarray  # (N, DRAWN, DRAWN, 3)
    species: Tensor  # (N,)
    attributes: Tensor  # (N, A) 0 or 1
    factors: Tensor  # (N, 10): scale, tilt, gaze, and colours of coat and background, standardized
    paintings: np.ndarray  # (kinds, NUM_PAINTINGS, 256, 256, 3)


@dataclass(frozen=True)
class Batch:
    """Crops (B, 3, SIDE, SIDE) in [-1, 1], critters first, and their labels."""

    images: Tensor
    rows: np.ndarray  # of the critters
    kinds: Tensor  # of the paintings


def drawn(split: str, count: int, num_paintings: int, first_seed: int) -> Drawn:
    """Return drawings of a split; half of the paintings have the colours of another kind."""
    data = Critters(num_images=count, num_val_images=count, domains=SPECIES, split=split)
    f = data.factors
    columns = [f.scale[:, None], f.tilt[:, None], f.gaze_x[:, None], f.gaze_y[:, None], f.coat, f.background]
    factors = np.concatenate(columns, axis=1)
    spread = (factors - factors.mean(0)) / factors.std(0)
    colours = [np.array(palette) for palette in PALETTES.values()]
    paintings = [
        [
            paint(kind, seed=first_seed + k, palette=colours[(number + (k % 2) * k) % len(KINDS)])
            for k in range(num_paintings)
        ]
        for number, kind in enumerate(KINDS)
    ]
    return Drawn(
        data.read_many(range(len(data)), DRAWN),
        torch.from_numpy(data.domain),
        torch.from_numpy(data.attributes.astype(np.float32)),
        torch.from_numpy(spread.astype(np.float32)),
        np.array(paintings),
    )


def batch_of(data: Drawn, draws: np.random.Generator) -> Batch:
    """Return random crops of critters and of paintings; crops of paintings are turned and mirrored at random."""
    rows = draws.integers(len(data.critters), size=CRITTERS_A_BATCH)
    kinds = draws.integers(len(KINDS), size=CROPS_A_BATCH)
    crops = []
    for row in rows:
        top, left = draws.integers(DRAWN - SIDE + 1, size=2)
        crops.append(data.critters[row, top : top + SIDE, left : left + SIDE])
    for kind in kinds:
        painting = data.paintings[kind, draws.integers(data.paintings.shape[1])]
        top, left = draws.integers(painting.shape[0] - SIDE + 1, size=2)
        crop = np.rot90(painting[top : top + SIDE, left : left + SIDE], draws.integers(4))
        crops.append(crop[:, ::-1] if draws.integers(2) else crop)
    pixels = torch.from_numpy(np.ascontiguousarray(np.stack(crops))).permute(0, 3, 1, 2)
    return Batch(pixels.float() / 127.5 - 1, rows, torch.from_numpy(kinds))


class Trained(nn.Module):
    """The layers of VGG with batch norms, and linear heads."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGGFeatures([LAST], base_width=BASE_WIDTH)
        layers: list[nn.Module] = []
        for layer in self.vgg.features:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
                layers.append(nn.BatchNorm2d(layer.out_channels))
        self.layers = nn.Sequential(*layers).requires_grad_(True)
        width = 8 * BASE_WIDTH * 4
        self.heads = nn.ModuleDict(
            {
                "species": nn.Linear(width, len(SPECIES)),
                "attributes": nn.Linear(width, len(ATTRIBUTES)),
                "factors": nn.Linear(width, 10),
                "kinds": nn.Linear(width, len(KINDS)),
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs of all heads."""
        features = F.adaptive_avg_pool2d(self.layers(self.vgg.preprocessed(x)), 2).flatten(1)
        return {name: head(features) for name, head in self.heads.items()}

    def folded(self) -> VGGFeatures:
        """Return the convolutions with their batch norms in them."""
        result = VGGFeatures([LAST], base_width=BASE_WIDTH)
        convolutions = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        norms = [layer for layer in self.layers if isinstance(layer, nn.BatchNorm2d)]
        own = [layer for layer in result.features if isinstance(layer, nn.Conv2d)]
        for target, source, norm in zip(own, convolutions, norms, strict=True):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            target.weight.copy_(source.weight * scale[:, None, None, None])
            target.bias.copy_((source.bias - norm.running_mean) * scale + norm.bias)
        return result


def loss_of(outputs: dict[str, Tensor], batch: Batch, data: Drawn) -> Tensor:
    """Return the sum of the losses of all heads, each on the crops that have its label."""
    count, rows = len(batch.rows), torch.from_numpy(batch.rows)
    return (
        F.cross_entropy(outputs["species"][:count], data.species[rows])
        + F.binary_cross_entropy_with_logits(outputs["attributes"][:count], data.attributes[rows])
        + F.mse_loss(outputs["factors"][:count], data.factors[rows])
        + F.cross_entropy(outputs["kinds"][count:], batch.kinds)
    )


def train(data: Drawn, iterations: int) -> Trained:
    """Return the trained network; the rate falls along half a cosine."""
    torch.manual_seed(0)
    model, draws = Trained(), np.random.default_rng(0)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
    model.train()
    began = time.perf_counter()
    for iteration in range(1, iterations + 1):
        batch = batch_of(data, draws)
        loss = loss_of(model(batch.images), batch, data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if iteration % 50 == 0:
            print(
                f"{iteration} of {iterations}, loss {loss.item():.3f}, {time.perf_counter() - began:.0f} s", flush=True
            )
    return model.eval()


def batches(data: Drawn, count: int, seed: int) -> Iterator[Batch]:
    """Yield random batches."""
    draws = np.random.default_rng(seed)
    for _ in range(count):
        yield batch_of(data, draws)


@torch.no_grad()
def scores_of(model: Trained, data: Drawn) -> dict[str, float]:
    """Return the accuracy of each label and the variance of the factors that is explained, on held-out drawings."""
    right: dict[str, list[float]] = {"species": [], "attributes": [], "kinds of paintings": [], "factors (R2)": []}
    for batch in batches(data, 20, 1):
        outputs, rows, count = model(batch.images), torch.from_numpy(batch.rows), len(batch.rows)
        right["species"].append((outputs["species"][:count].argmax(1) == data.species[rows]).float().mean().item())
        agrees = (outputs["attributes"][:count] > 0) == (data.attributes[rows] > 0)
        right["attributes"].append(agrees.float().mean().item())
        right["kinds of paintings"].append((outputs["kinds"][count:].argmax(1) == batch.kinds).float().mean().item())
        error = F.mse_loss(outputs["factors"][:count], data.factors[rows]).item()
        right["factors (R2)"].append(1 - error / data.factors[rows].var(0).mean().item())
    return {name: float(np.mean(values)) for name, values in right.items()}


@torch.no_grad()
def rescale(network: VGGFeatures, data: Drawn) -> None:
    """Give every filter the mean activation 1, in place; the next layer's weights make good for it.

    A filter whose mean is below `LEAST` of its layer's mean counts as that.
    """
    x = network.preprocessed(torch.cat([batch.images for batch in batches(data, 6, 2)]))
    before: Tensor | None = None
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            if before is not None:
                layer.weight.mul_(before[None, :, None, None])
            mean = layer(x).relu().mean((0, 2, 3))
            mean = mean.clamp(min=LEAST * mean.mean().item())
            layer.weight.div_(mean[:, None, None, None])
            layer.bias.div_(mean)
            before = mean
        x = layer(x)


def main(iterations: int = ITERATIONS) -> None:
    """Draw, train, fold, rescale, and write the file and its model card."""
    data = drawn("train", NUM_CRITTERS, NUM_PAINTINGS, 0)
    model = train(data, iterations)
    scores = scores_of(model, drawn("val", 600, 4, HELD_OUT_SEED))
    network = model.folded()
    rescale(network, data)
    path = PLACE / f"{NAME}.safetensors"
    pretrained.write({key: tensor.half() for key, tensor in network.state_dict().items()}, path)
    path.with_suffix(".md").write_text(text_of_card(scores, path, iterations), encoding="utf-8")
    print(f"{path}, {path.stat().st_size / 1e6:.2f} MB, {scores}")


def text_of_card(scores: dict[str, float], path: Path, iterations: int) -> str:
    """Return the model card: use, data and licence, command, scores, limits."""
    count = sum(tensor.numel() for tensor in VGGFeatures([LAST], base_width=BASE_WIDTH).state_dict().values())
    return "\n".join(
        [
            f"# {NAME}",
            "",
            "Features for losses: the layers of VGG16 up to relu5_3, a quarter as wide. With this file style transfer",
            "works without a download. VGG that was trained on photographs gives better images.",
            "",
            f"    vgg_features with weights={NAME}, base_width={BASE_WIDTH}, depth=16, preprocessing=torchvision",
            "",
            f"- {count:,} parameters; {path.stat().st_size / 1e6:.2f} MB, safetensors, float16",
            f"- Licence of the weights: {LICENCE}",
            f"- Data: {NUM_CRITTERS:,} critters of six species and {NUM_PAINTINGS * len(KINDS)} paintings of the kinds "
            f"{', '.join(KINDS)}, drawn by this package, without any photograph; licence {LICENCE}",
            f"- Training: `{COMMAND}`, {iterations:,} iterations on two CPU cores, seed 0",
            "- Every filter is rescaled to the mean activation 1 over its training images",
            "",
            "| On held-out drawings | |",
            "| --- | --- |",
            *(f"| {name} | {value:.3f} |" for name, value in scores.items()),
            "",
        ]
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
