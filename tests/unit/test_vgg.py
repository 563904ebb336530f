"""VGG's layers by name, files with either names, and what is refused."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from translate.errors import UserError
from translate.networks.vgg import VGG16Features, VGGFeatures, layer_names
from translate.weights import pretrained


def images() -> Tensor:
    return torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)).tanh()


@pytest.mark.parametrize("depth", [16, 19])
def test_outputs_are_those_of_torchvision(depth: int) -> None:
    """Of a network with the same weights; torchvision's images are normalised before."""
    torch.manual_seed(0)
    official = {16: torchvision.models.vgg16, 19: torchvision.models.vgg19}[depth](weights=None).features.eval()
    names = layer_names(depth)
    layers = ["relu1_2", "conv4_2", "relu5_3"]
    network = VGGFeatures(layers, depth=depth)  # type: ignore[arg-type]
    network.load_state_dict(
        {k: t for k, t in official.state_dict(prefix="features.").items() if k in network.state_dict()}
    )
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((images() + 1) / 2 - mean[:, None, None]) / deviation[:, None, None]
    with torch.no_grad():
        for name, own in zip(layers, network(images()), strict=True):
            # a copy: the ReLU behind a convolution of torchvision overwrites its input
            expected = official[: names.index(name) + 1](x.clone())
            torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)


def test_chosen_layers_are_those_of_all() -> None:
    network = VGGFeatures(["relu1_1", "conv3_1", "relu3_1"], base_width=4)
    first, before, after = network(images())
    assert after.equal(before.relu())
    assert before.min() < 0
    last, again = network(images(), ["relu3_1", "relu1_1"])
    assert last.equal(after)
    assert again.equal(first)


def test_files_with_the_names_of_caffe_are_read(tmp_path: Path) -> None:
    source = VGGFeatures(["relu5_1"], base_width=4)
    state = {}
    for key, tensor in source.state_dict().items():
        _, number, kind = key.split(".")
        state[f"{source.names[int(number)]}.{kind}"] = tensor + 0
    assert "conv5_1.bias" in state
    save_file(state | {"fc6.weight": torch.zeros(2)}, tmp_path / "vgg.safetensors")
    network = VGG16Features(str(tmp_path / "vgg.safetensors"), base_width=4)
    with pytest.raises(UserError, match=r"lacks the tensor features\.26\.weight"):
        pretrained.load(network)
    shorter = VGGFeatures(["relu4_1"], str(tmp_path / "vgg.safetensors"), base_width=4)
    pretrained.load(shorter)
    for key, tensor in shorter.state_dict().items():
        assert tensor.equal(source.state_dict()[key])


def test_preprocessing_of_vgg_face_is_pixels_minus_its_mean() -> None:
    x = images()
    found = VGGFeatures(["conv1_1"], preprocessing="vgg_face", base_width=4).preprocessed(x)
    mean = torch.tensor([129.1863, 104.7624, 93.594])[:, None, None]
    torch.testing.assert_close(found, (x + 1) * 127.5 - mean, rtol=0, atol=1e-4)


def test_average_pooling() -> None:
    network = VGGFeatures(["pool1", "relu1_2"], pooling="average", base_width=4)
    pooled, before = network(images())
    torch.testing.assert_close(pooled, torch.nn.functional.avg_pool2d(before, 2))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"layers": ["relu6_1"]}, "layers: unknown value 'relu6_1'"),
        ({"layers": []}, "layers: found \\[\\], expected one layer or more"),
        ({"depth": 18}, "depth: unknown value 18.* Known: 16, 19"),
        ({"pooling": "min"}, "pooling: unknown value 'min'"),
        ({"preprocessing": "keras"}, "preprocessing: unknown value 'keras'"),
    ],
)
def test_what_is_refused(arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        VGGFeatures(**arguments)  # type: ignore[arg-type]
