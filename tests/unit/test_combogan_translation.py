"""ComboGAN translates along routes, from the domain of an image to a target, and encodes an image once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from translate.errors import UserError
from translate.inference.combogan import ComboGANTranslation
from translate.inference.targets import routes
from translate.inference.torch_engine import TorchEngine
from translate.inference.translator import Translator
from translate.networks import combogan
from translate.serving.controls import controls_of
from translate.weights.format import Weights

NAMES = ("bear", "cat", "rabbit")
NODES = {role: {"name": f"combogan_{role}s", "base_width": 4, "num_blocks": 1} for role in ("encoder", "decoder")}


def networks(count: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {
        "encoder": combogan.Encoders(count, 4, 1),
        "decoder": combogan.Decoders(count, 4, 1),
        "encoder_shared": combogan.SharedBlocks(count, 16, 1),
        "decoder_shared": combogan.SharedBlocks(count, 16, 1),
    }
    for network in made.values():
        for p in network.parameters():  # far from the initial weights, so that domains differ
            p.data += 0.1 * torch.randn(p.shape)
    return made


def translator(count: int = 3) -> Translator:
    own = networks(count)
    tensors = {f"network.{role}.{key}": t for role in NODES for key, t in own[role].state_dict().items()}
    nodes = {role: {**node, "num_domains": count} for role, node in NODES.items()}
    return Translator(Weights(tensors, "combogan", nodes, 16, domains=NAMES[:count]))


def images(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Calls:
    """Counts the images that pass through a network."""

    def __init__(self, network: nn.Module) -> None:
        self.count = 0
        for each in network.children():
            each.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        self.count += len(inputs[0])


def test_each_image_takes_its_own_route() -> None:
    translation, x = ComboGANTranslation(networks(3)), images(6)
    target = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 2], [2, 1], [1, 0]])
    whole = translation(x, target)
    for row, (source, to) in enumerate(target.tolist()):
        alone = translation.decode(translation.encode(x[row : row + 1], source), to)
        torch.testing.assert_close(whole[row], alone[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole[0], translation(x, target.flip(1))[0], atol=1e-2)
    with pytest.raises(UserError, match=r"target: found shape \(6,\), expected two domains"):
        translation(x, target[:, 0])


def test_an_image_is_encoded_once_and_decoded_for_every_domain() -> None:
    model = translator()
    engine, x = TorchEngine(model), images(2).numpy()
    encoded, decoded = (Calls(model.translation.networks[role]) for role in ("encoder", "decoder"))
    outputs = [engine.translate(x, np.array([[0, to], [1, to]])) for to in range(3)]
    assert (encoded.count, decoded.count) == (2, 6)
    repeated = engine.translate(np.repeat(x, 3, axis=0), np.array([[s, to] for s in (0, 1) for to in range(3)]))
    assert encoded.count == 2  # equal images in a row too
    np.testing.assert_allclose(repeated.reshape(2, 3, 3, 16, 16), np.stack(outputs, axis=1), atol=1e-5)
    plain = model.translation(torch.from_numpy(x), torch.tensor([[0, 2], [1, 2]])).clamp(-1, 1)
    np.testing.assert_allclose(outputs[2], plain.numpy(), atol=1e-6)
    engine.translate(x, np.array([[2, 0], [1, 0]]))  # the same images as of another domain
    assert encoded.count == 2 + 2 + 2


def test_a_code_is_not_kept_for_pixels_that_have_changed() -> None:
    model, x = translator(), images(1)
    target = torch.tensor([[0, 1]])
    first = model.translate_batch(x, target)
    x.neg_()
    assert not model.translate_batch(x, target).equal(first)


def test_the_source_is_named_or_the_other_one_of_two() -> None:
    model, x = translator(), images(2)
    assert model.needs_source
    y = model.translate(x, "cat", source="bear")
    assert y.equal(model.translate(x, [1, 1], source=[0, 0]))
    assert not y.equal(model.translate(x, "cat", source="rabbit"))
    with pytest.raises(
        UserError, match="source: the domain of the images is unknown; expected one of bear, cat, rabbit"
    ):
        model.translate(x, "cat")
    with pytest.raises(UserError, match="source: unknown domain 'dog'"):
        model.translate(x, "cat", source="dog")
    with pytest.raises(UserError, match="target: unknown domain 'dog'"):
        model.translate(x, "dog", source="cat")
    two = translator(2)
    assert two.translate(x, "cat").equal(two.translate(x, "cat", source="bear"))
    original = model.translate([np.full((20, 24, 3), 90, np.uint8)], "cat", source="bear", size="original")
    assert original[0].shape == (20, 24, 3)


def test_routes_of_arrays_are_checked() -> None:
    assert routes(np.array([[0, 2]]), None, 1, NAMES).tolist() == [[0, 2]]
    for wrong in ([[0, 3]], [[-1, 0]], [[0, 1], [1, 0]]):
        with pytest.raises(UserError, match="routes hold the source and the target"):
            routes(np.array(wrong), None, 1, NAMES)


def write(folder: Path) -> Path:
    folder.mkdir(parents=True)
    Image.fromarray(np.full((16, 16, 3), 120, np.uint8)).save(folder / "a.png")
    return folder


def test_apply_takes_the_domain_from_the_folder_and_translates_to_the_others(tmp_path: Path) -> None:
    model = translator()
    encoded = Calls(model.translation.networks["encoder"])
    folder = write(tmp_path / "photos" / "cat")
    summary = model.apply(folder, tmp_path / "out")
    written = {path.relative_to(tmp_path / "out").as_posix() for path in summary.translations}
    assert written == {"bear/a.png", "rabbit/a.png"}
    assert encoded.count == 1
    assert model.apply(folder, tmp_path / "out", source="cat").existing == 2  # the same settings, by name
    unknown = write(tmp_path / "photos" / "other")
    with pytest.raises(UserError, match="source: the domain of the images is unknown"):
        model.apply(unknown, tmp_path / "out2")
    own = model.apply(unknown, tmp_path / "out2", target="bear", source="bear")  # a reconstruction, since it is named
    assert [path.name for path in own.translations] == ["a.png"]


def test_a_server_offers_directions() -> None:
    three, two = controls_of(TorchEngine(translator())), controls_of(TorchEngine(translator(2)))
    assert ("cat → rabbit", "cat_to_rabbit") in three.choices()
    assert len(three.choices()) == 6
    assert two.choices() == [("cat → bear", "bear"), ("bear → cat", "cat")]
