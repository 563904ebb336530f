"""Every model's weights: what is loaded translates as the model does, and what is brought in can be trained on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from numerics.published import golden_state, save, stargan_v2
from training.test_models import CASES, TRANSLATING
from translate.config.resume import resumed
from translate.config.schema import to_mapping, to_yaml
from translate.data.batches import HeldOut
from translate.data.views.base import takes_labels
from translate.errors import UserError
from translate.export import importer
from translate.export import weights as export_weights
from translate.inference.base import translation_of
from translate.inference.translator import Translator, load
from translate.models.base import TranslationModel
from translate.networks.layers.spectral import without_spectral_norms
from translate.registry.registry import MODELS, NETWORKS, TRANSLATIONS
from translate.runs import checkpoints
from translate.runs.folder import RunFolder
from translate.training import build, run
from translate.weights import format
from translate.weights.format import Weights
from translate.weights.load import of_run
from translate.weights.published import detect
from translate.weights.published.layout import ImportOptions

NAMES = sorted(TRANSLATING)


def begun(name: str, folder: Path, *overrides: str) -> tuple[TranslationModel, HeldOut]:
    """Return a model whose checkpoint of iteration 3 lies in a run folder, and images for it."""
    config = CASES[name](*overrides)
    torch.set_num_threads(1)
    data, model = build.build_data(config), build.build_model(config)
    with torch.no_grad():
        for average in model.ema.networks.values():  # else an average is the network itself
            for parameter in average.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.02)
    model.iteration = 3
    place = RunFolder(folder)
    place.begin(to_yaml(config), overrides, config.seed)
    place.note_data({"train": data.train, "val": data.val})
    checkpoints.write(checkpoints.capture(model, data.domains, to_mapping(config)), RunFolder(folder).checkpoint(3))
    return model.eval(), data.held_out(4)


def asked(name: str, held: HeldOut) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Return images, targets and guides that a model takes."""
    batch, only_target = MODELS.facts(name)["batch"], translation_of(name).only_target
    rows = held.domain == 0 if batch == "paired" else torch.ones(len(held.image), dtype=torch.bool)
    target = held.label.roll(1, 0) if takes_labels(batch) else (held.domain + 1) % (int(held.domain.max()) + 1)
    if only_target is not None:
        target = torch.full_like(held.domain, only_target)
    if batch in ("images", "high_resolution"):  # the model's own target is the only one
        target = torch.zeros_like(held.domain)
    guide = {"reference": held.image[rows]} if "reference" in translation_of(name).style_inputs else {}
    return held.image[rows], target[rows], guide


@pytest.mark.parametrize("name", TRANSLATING)
def test_every_model_has_a_translation(name: str) -> None:
    if MODELS.entry(name).module.startswith("translate."):
        cls = translation_of(name)
        facts = MODELS.facts(name)
        assert set(cls.roles) <= set(facts["networks"])
        assert set(cls.optional_roles) <= set(facts.get("optional_networks", ()))
        assert MODELS.get(name).inference is cls  # type: ignore[attr-defined]


def test_translations_are_registered_by_the_names_of_models() -> None:
    own = {name for name, entry in TRANSLATIONS.index().items() if entry.module.startswith("translate.")}
    assert own <= set(MODELS.names())  # plug-ins that another test imported are not active here
    loaded = TRANSLATIONS.load()
    for name, entry in TRANSLATIONS.index().items():
        assert (entry.module, entry.qualname) == (loaded[name].__module__, loaded[name].__qualname__)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded_translates_as_the_model_does(name: str, tmp_path: Path) -> None:
    model, held = begun(name, tmp_path / "run")
    x, target, guide = asked(name, held)
    routes = bool(TRANSLATIONS.facts(name).get("needs_source"))
    source = {"source": held.domain} if routes else {}
    wanted = model.translate(x, torch.stack([held.domain, target], 1) if routes else target, **guide).clamp(-1, 1)
    export_weights.export(tmp_path / "run", str(tmp_path / "weights.safetensors"))
    for place in (tmp_path / "run", tmp_path / "weights.safetensors"):
        state = torch.get_rng_state()
        translator = load(place)
        found = translator.translate(x, target, **guide, **source)
        assert torch.get_rng_state().equal(state)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)  # rounding: layouts may differ
        assert not found.requires_grad
        parts = translator.translate(x, target, **guide, **source, batch_size=1)
        torch.testing.assert_close(parts, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_file_says_what_it_holds(name: str, tmp_path: Path) -> None:
    model, _ = begun(name, tmp_path / "run")
    domains = list(model.target_domains) or config_domains(name)
    scores = {"protocol": "clean", "iteration": 3, "scores": {"FID": 9.5}}
    (tmp_path / "run" / "metrics").mkdir()
    for file, told in {
        "metrics.json": {"protocol": "local", "iteration": 2, "figures": {"accuracy": 0.5}},  # of another checkpoint
        "metrics/clean_last.json": {**scores, "environment": {"gpus": []}, "tasks": {}},
        "metrics/clean_last.partial.json": scores,
    }.items():
        (tmp_path / "run" / file).write_text(json.dumps(told))
    path = tmp_path / "weights.safetensors"
    export_weights.export(tmp_path / "run", str(path), licence="cc-by-4.0")
    found, config = format.read(path), CASES[name]()
    assert (found.model, found.iteration, found.licence) == (name, 3, "cc-by-4.0")
    assert found.config == json.loads(json.dumps(to_mapping(config)))
    assert list(found.domains) == domains
    assert found.networks == {role: config.model.networks[role] for role in found.networks}
    used = (*translation_of(name).roles, *translation_of(name).optional_roles)
    assert set(found.networks) == {role for role in used if role in model.roles}
    assert found.metrics == ({**scores, "checkpoint": "last", "networks": "trained", "seed": 0},)
    assert found.data["train"] == {"images": len(build.build_data(config).train), "fingerprint": fingerprint(config)}
    assert set(found.ema_roles) == set(model.ema.networks)
    frozen = not set(found.networks) <= set(model.trained)  # f of DTN has no moving average
    kinds = {"ema", "network"} if found.ema_roles and frozen else {"ema"} if found.ema_roles else {"network"}
    assert {key.split(".")[0] for key in found.tensors} == kinds


def config_domains(name: str) -> list[str]:
    return CASES[name]().data.domains or []


def fingerprint(config: Any) -> str:
    return str(build.build_data(config).train.fingerprint())


@pytest.mark.parametrize("name", NAMES)
def test_all_networks_can_be_exported(name: str, tmp_path: Path) -> None:
    begun(name, tmp_path / "run")
    export_weights.export(tmp_path / "run", str(tmp_path / "all.safetensors"), all_networks=True)
    wanted, found = of_run(tmp_path / "run"), format.read(tmp_path / "all.safetensors")
    assert found.networks == wanted.networks
    assert found.tensors.keys() == wanted.tensors.keys()
    assert all(tensor.equal(wanted.tensors[key]) for key, tensor in found.tensors.items())


NOT_IN_PORT = {"xgan": ("discriminator_a", "teacher")}
"""Roles that the port of a model lacks."""


@pytest.mark.parametrize("name", [name for name in NAMES if any(name in each.models for each in detect.LAYOUTS)])
def test_own_weights_survive_the_published_layout(name: str, tmp_path: Path) -> None:
    """What a run has learned goes out as the authors' programs read it and comes back, tensor for tensor."""
    begun(name, tmp_path / "run")
    export_weights.export(tmp_path / "run", str(tmp_path / "out"), format="official", all_networks=True)
    before, files = of_run(tmp_path / "run"), sorted((tmp_path / "out").iterdir())
    labels = [labels["kind"] for labels in before.label_sets]
    said: dict[str, Any] = {"domains": before.domains}
    if name == "stargan_v1":
        said = {"domains": tuple(before.label_sets[0]["names"]), "labels": labels[0].replace("classes", "domain")}
    if name in ("srgan", "srresnet"):
        said = {"model": name}  # it has no domains
    if name in ("combogan", "cut", "cyclegan", "fast_style", "srgan", "srresnet", "unit"):
        said["image_size"] = before.image_size  # its networks take any
    after = detect.read(files, ImportOptions(**said))
    for role, node in before.networks.items():
        if NETWORKS.facts(node["name"]).get("loss_only") or role in NOT_IN_PORT.get(name, ()):
            continue
        again = after.networks[role]
        assert again["name"] == node["name"]
        for key, tensor in without_spectral_norms(before.inference_state(role)).items():
            assert after.inference_state(role)[key].equal(tensor)
    assert (after.model, after.image_size) == (name, before.image_size)


FURTHER = {
    "dclgan": [f"model.networks.projection_{side}.taps=[4, 12]" for side in "ab"],
    "cut": ["model.networks.projection.taps=[0, 4, 8, 12]"],
    "diat": [
        "model.networks.discriminator.num_layers=4",
        "model.networks.features={weights: critters_vgg, base_width: 16, preprocessing: torchvision}",
    ],
    "diat_enhancement": ["model.networks.discriminator.num_layers=4", "model.weights.enhancer.outside=1"],
    "srgan": ["~model.networks.content", "model.weights.generator.content=0"],
    "fast_style": ["model.style_image=strokes", "model.networks.features={weights: critters_vgg, base_width: 16}"],
}
"""Files that a model needs for training, and its weights do not hold."""


@pytest.mark.parametrize("name", NAMES)
def test_a_run_begins_with_the_weights(name: str, tmp_path: Path) -> None:
    begun(name, tmp_path / "run", "seed=5")
    export_weights.export(tmp_path / "run", str(tmp_path / "weights.safetensors"))
    weights = importer.read([str(tmp_path / "weights.safetensors")], ImportOptions())
    folder = tmp_path / "fine"
    case = CASES[name]
    overrides = [*case.data, "metrics=none", "trainer=cpu", "trainer.threads=1", "sample_every=null", "iterations=1"]
    overrides += FURTHER.get(name, [])
    run_begun = importer.begin_run(weights, folder, overrides)
    without_discriminator = ("autoencoder", "diat_denoiser", "fast_style", "srresnet")
    assert bool(run_begun.initialized) == (name not in without_discriminator)
    assert run_begun.seed == 0
    checkpoint = checkpoints.newest(folder)
    assert checkpoint.iteration == 0
    for role in weights.networks:
        for key, tensor in weights.inference_state(role).items():
            assert checkpoint.tensors[f"network.{role}.{key}"].equal(tensor)
    assert run.train(resumed(folder, []), folder, folder, []) == 0
    after = checkpoints.newest(folder)
    assert after.iteration == 1
    assert after.config["model"]["networks"].items() >= weights.networks.items()


@pytest.mark.parametrize("name", ["cyclegan", "stargan_v2"])
def test_a_run_begins_with_published_weights(name: str, tmp_path: Path) -> None:
    """Of one direction, and with the high-pass skip connections, whose masks nothing trains."""
    if name == "cyclegan":
        files = [save(golden_state("cyclegan_resnet9_64", "G_A", 0.5), tmp_path / "latest_net_G.pth")]
        fresh = "generator_ba, discriminator_a, discriminator_b"
    else:
        files = [save(stargan_v2(32, 1.0, 2, width=4, widest=16), tmp_path / "100000_nets_ema.ckpt")]
        fresh = "discriminator"
    weights = detect.read(files, ImportOptions(image_size=32))
    data = [word for word in CASES[name].data if "domains" not in word]
    run_begun = importer.begin_run(
        weights, tmp_path / "run", [*data, "data.domains=[cat,fox]", "metrics=none", "trainer=cpu", "iterations=1"]
    )
    assert ", ".join(run_begun.initialized) == fresh
    assert run.train(resumed(tmp_path / "run", []), tmp_path / "run", tmp_path / "run", []) == 0
    after = of_run(tmp_path / "run")
    for role in weights.networks:
        assert after.group("network", role).keys() == weights.inference_state(role).keys()


def test_a_run_does_not_begin_where_something_is(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="is not empty"):
        importer.begin_run(Weights({}, "stargan_v2", {}, 32), tmp_path, [])


def test_weights_of_other_domains_do_not_begin_a_run(tmp_path: Path) -> None:
    begun("stargan_v2", tmp_path / "run")
    weights = of_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"num_domains: found 3, expected 2, the value of data\.num_domains"):
        importer.begin_run(weights, tmp_path / "new", [*CASES["stargan_v2"].data, "data.domains=[cat,fox]"])
    assert not (tmp_path / "new").exists()


def test_neither_lightning_nor_hydra_is_imported(tmp_path: Path) -> None:
    """In a process of its own: load, translate, and look at what has been imported."""
    begun("stargan_v2", tmp_path / "run")
    export_weights.export(tmp_path / "run", str(tmp_path / "weights.safetensors"))
    for place in ("weights.safetensors", "run"):
        code = (
            "import sys, numpy, translate\n"
            f"translator = translate.load({str(tmp_path / place)!r})\n"
            "images = numpy.zeros((2, 32, 32, 3), numpy.uint8)\n"
            "print(tuple(translator.translate(images, target='cat', seed=1).shape))\n"
            "heavy = ('pytorch_lightning', 'lightning', 'hydra', 'omegaconf', 'huggingface_hub', 'torchmetrics')\n"
            "print([name for name in heavy if name in sys.modules])\n"
        )
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
        assert answer.stdout.split("\n")[:2] == ["(2, 32, 32, 3)", "[]"], answer.stderr


def test_models_that_register_no_translation_are_named(tmp_path: Path) -> None:
    begun("stargan_v2", tmp_path / "run")
    weights = of_run(tmp_path / "run")
    other = Weights(weights.tensors, "my_model", weights.networks, 32, config={"plugins": ["my_lab"]})
    said = r"model 'my_model'\. Known: .* Fix: activate the plug-ins of the training run: .*activate\(\['my_lab'\]\)"
    with pytest.raises(UserError, match=said):
        Translator(other)
    with pytest.raises(UserError, match="with=all"):
        export_weights.inference_weights(other)
    with pytest.raises(UserError, match="has no official layout"):
        detect.write(other, tmp_path / "out")
