"""JSON Schema of configuration files: what ships fits it, and typical mistakes do not."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from omegaconf import OmegaConf

from translate.cli import main
from translate.config.compose import compose, load
from translate.config.declared import declared
from translate.config.json_schema.documents import ABOUT, PATTERNS, document
from translate.config.json_schema.values import of_annotation
from translate.config.schema import read_yaml, to_yaml
from translate.config.tree import plain
from translate.config.types import UNKNOWN
from translate.registry.registry import MODELS

ROOT = Path(__file__).parents[2]
SHIPPED = {
    kind: sorted(path for pattern in patterns for path in ROOT.glob(pattern))
    for kind, patterns in PATTERNS.items()
    if kind != "run"
}


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    """Return a validator of each kind of file; the schemas themselves are valid."""
    found = {}
    for kind in PATTERNS:
        schema = document(kind)
        jsonschema.Draft7Validator.check_schema(schema)
        found[kind] = jsonschema.Draft7Validator(schema)
    return found


def problems(validator: Any, tree: Any) -> list[str]:
    """Return where a tree has mistakes, as dotted keys, each with its message."""
    return sorted({f"{'.'.join(map(str, e.absolute_path))}: {e.message}" for e in validator.iter_errors(tree)})


@pytest.mark.parametrize("kind", SHIPPED)
def test_every_shipped_file_fits(kind: str, validators: dict[str, Any]) -> None:
    assert len(SHIPPED[kind]) > (1 if kind == "logger" else 4)
    bad = []
    for path in SHIPPED[kind]:
        tree = OmegaConf.to_container(OmegaConf.load(path))  # as Hydra reads it: 1e-4 is a number
        bad += [f"{path}: {problem}" for problem in problems(validators[kind], tree)]
    assert bad == []


def test_no_folder_of_shipped_files_is_left_out() -> None:
    covered = {path for paths in SHIPPED.values() for path in paths}
    apart = {"hydra", "paper", "sweep"}  # formats of their own
    rest = [path.relative_to(ROOT) for path in (ROOT / "conf").rglob("*.yaml") if path not in covered]
    assert [path for path in rest if path.parts[1] not in apart and path.name != "evaluate.yaml"] == []
    assert not [path for path in (ROOT / "experiments").rglob("*.yaml") if path not in covered]


FROM_DATA = ("num_domains", "num_labels", "num_sets")
WORDS = {
    "dtn": ["model.networks.features.weights=x"],
    "srgan": ["model.networks.content.weights=x"],
    "diat_enhancement": ["model.networks.generator.weights=x"],
    "fast_style": ["model.networks.features.weights=x", "model.style_image=x"],
}
"""Values that the files of a model leave to the user."""


def with_counts(node: Any) -> Any:
    """Return a tree in which the numbers that a run reads from its data are filled in."""
    if isinstance(node, list):
        return [with_counts(value) for value in node]
    if not isinstance(node, dict):
        return node
    filled = {**dict.fromkeys(FROM_DATA, 3), "label_sets": []}
    return {
        key: filled.get(key, 3) if each is UNKNOWN or (key in filled and each is None) else with_counts(each)
        for key, each in node.items()
    }


@pytest.mark.parametrize("model", MODELS.names())
def test_complete_configurations_fit(model: str, validators: dict[str, Any]) -> None:
    options = sorted((ROOT / "conf" / "model").glob("*.yaml"))
    option = next(path.stem for path in options if yaml.safe_load(path.read_text()).get("name") == model)
    tree = compose([f"model={option}", "trainer=cpu", *WORDS.get(model, [])])
    assert tree is not None
    saved = with_counts({key: value for key, value in plain(tree, []).items() if key != "hydra"})
    assert problems(validators["run"], saved) == []
    role = next(iter(saved["model"]["networks"]))
    del saved["seed"], saved["model"]["networks"][role]
    saved["model"]["pool"] = 1
    assert problems(validators["run"], saved) == [
        ": 'seed' is a required property",
        f"model.networks: '{role}' is a required property",
        "model: Additional properties are not allowed ('pool' was unexpected)",
    ]


def test_what_a_run_saves_fits(validators: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(to_yaml(load(["trainer=cpu"], scan=False)))
    assert problems(validators["run"], read_yaml(tmp_path / "config.yaml")) == []


CHOSEN = "defaults: [{override /model: stargan_v2_small}, {override /data: folder}]\n"
MISTAKES = {
    "iteratons: 100": "Additional properties are not allowed ('iteratons' was unexpected)",
    "iterations: many": "iterations: 'many'",
    "iterations: 0": "iterations: 0",
    "seed: [1]": "seed: [1]",
    "sample_every: sometimes": "sample_every: 'sometimes'",
    "trainer: {precision: fp16}": "trainer.precision: 'fp16'",
    "trainer: {device: 2}": "trainer: Additional properties are not allowed ('device' was unexpected)",
    "data: {batch_size: 0}": "data.batch_size: 0",
    "data: {augment: mirror}": "data.augment: 'mirror'",
    "data: {max_bad_fraction: 2.0}": "data.max_bad_fraction: 2.0",
    "model: {name: stargan_v3}": "model.name: 'stargan_v2' was expected",
    "model: {networks: {generator: {name: resnet}}}": "model.networks.generator.name: 'resnet'",
    "model: {ema_decay: 1.5}": "model.ema_decay: 1.5",
    "model: {weights: {generator: {stile: 1.0}}}": "'stile' was unexpected",
    "model: {weights: {generator: {style: heavy}}}": "model.weights.generator.style: 'heavy'",
    "model: {weights: {generator: {style: {schedule: linear, start: 1.0}}}}": "'end' is a required property",
    "model: {weights: {generator: {style: {schedule: cosine}}}}": "model.weights.generator.style",
    "model: {losses: {adversarial: {name: wasserstein_gp}}}": "model.losses.adversarial",
    "model: {optimizers: {generator: {betas: [0.5, 1.0]}}}": "model.optimizers.generator.betas",
    "model: {optimizers: {generator: {_target_: torch.optim.Adam, momentum: 0.9}}}": "'momentum' was unexpected",
    "metrics: {fid: {name: fld}}": "metrics.fid.name: 'fld'",
    "start_from: {roles: [generator]}": "start_from",
    "expected: {protocol: clean, seeds: [0], scores: []}": "expected",
    "expected: {protocol: cleen, seeds: [0], scores: [{score: FID, checkpoint: last, at_most: 1}]}": "expected",
    "expected: {protocol: clean, seeds: [0], scores: [{score: FID, checkpoint: last}]}": "expected",
    "stages: {first: model=dtn}": "stages",
    "defaults: [{override /model: stargan_v2_smal}]": "defaults.0",
    "defaults: [{override /metrics: [local, lokal]}]": "defaults.0",
    # where the defaults list chooses the model or the data, their own keys alone are known
    f"{CHOSEN}model: {{pool_size: 50}}": "model: Additional properties are not allowed ('pool_size' was unexpected)",
    f"{CHOSEN}model: {{networks: {{generator: {{num_blocks: 6}}}}}}": "'num_blocks' was unexpected",
    f"{CHOSEN}model: {{networks: {{generator_ab: {{}}}}}}": "'generator_ab' was unexpected",
    f"{CHOSEN}model: {{weights: {{generator: {{identity_a: 1.0}}}}}}": "'identity_a' was unexpected",
    f"{CHOSEN}data: {{num_val_images: 3}}": "data: Additional properties are not allowed ('num_val_images'",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_of_an_experiment_are_underlined(text: str, validators: dict[str, Any]) -> None:
    tree = yaml.safe_load(text)
    if "defaults" not in tree:
        tree["defaults"] = [{"override /model": "stargan_v2_small"}]
    found = problems(validators["experiment"], tree)
    assert any(MISTAKES[text] in problem for problem in found), found


@pytest.mark.parametrize(
    "text",
    [
        "iterations: ${share:0.5}",
        "iterations: null\nbudget: 2h",
        "data: {root: '???', image_size: [64, 32], batch_size: '${trainer.devices}'}",
        "model: {weights: {generator: {diversity: {iterations: 50}}}}",
        "model: {networks: {generator: {base_width: 16}}}",
        "model: {optimizers: {generator: {_target_: my_lab.Lion, lr: 1.0, beta: 0.9}}}",
        "logger: {mine: {_target_: my_lab.Logger, anything: 1}}",
        "defaults: [_self_, {optional override /model: cyclegan}, {override /metrics@_global_.metrics: clean}]",
        "start_from: runs/a/b",
        "metrics: {local: null}",
    ],
)
def test_what_hydra_takes_is_not_underlined(text: str, validators: dict[str, Any]) -> None:
    assert problems(validators["experiment"], yaml.safe_load(text)) == []


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("model", "defaults: [stargan_v2, _self_]\npool_size: 50", "'pool_size' was unexpected"),
        ("model", "name: cyclegan\nr1_every: 2", "'r1_every' was unexpected"),
        ("data", "name: folder\nroof: x", "'roof' was unexpected"),
        ("trainer", "accelerator: npu", "accelerator: 'npu'"),
        ("metrics", "local: {name: local, iterations: 3}", "'iterations' was unexpected"),
        ("logger", "wandb: {project: x, _target_: wandb}", "_target_"),
    ],
)
def test_mistakes_of_options_are_underlined(kind: str, text: str, expected: str, validators: dict[str, Any]) -> None:
    found = problems(validators[kind], yaml.safe_load(text))
    assert any(expected in problem for problem in found), found


def test_keys_have_their_comments_and_defaults() -> None:
    """An editor shows the comment of each key, and the default and the first line of each part."""
    schema = document("experiment")
    about = {name: each.get("description", "") for name, each in schema["properties"].items()}
    groups = {"model", "data", "trainer", "metrics", "logger"}
    assert [key.name for key in declared("RunConfig") if not about[key.name] and key.name not in groups] == []
    assert about["budget"].startswith("instead of iterations: a duration")
    generator = schema["definitions"]["network.stargan_v2_generator"]
    assert generator["description"] and generator["properties"]["w_hpf"]["default"] == 0.0
    precision = schema["definitions"]["trainer"]["properties"]["precision"]
    assert {"enum": ["32-true", "bf16-mixed", "64-true"]} in precision["anyOf"]


def test_annotations() -> None:
    number, mark = {"type": "number"}, {"$ref": "#/definitions/interpolation"}
    assert of_annotation("float") == {"anyOf": [number, mark]}
    assert of_annotation("str | None") == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    pair = of_annotation("tuple[float, float]")["anyOf"][0]
    assert (pair["minItems"], pair["maxItems"], len(pair["items"])) == (2, 2, 2)
    assert of_annotation("nn.Module") == of_annotation(None) == {}
    assert of_annotation("list[int]", "num_blocks")["anyOf"][0]["items"]["anyOf"][0]["minimum"] == 0


def test_the_command_writes_all_kinds_and_the_setting_of_an_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["schema", "to=schemas"]) == 0
    assert {path.stem for path in (tmp_path / "schemas").iterdir()} == set(ABOUT)
    printed = capsys.readouterr().out
    setting = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    assert setting["yaml.schemas"]["./schemas/run.json"] == ["runs/**/config.yaml"]
    assert (tmp_path / "schemas" / "experiment.json").as_uri() in printed
    assert main(["schema", "kind=run", "to=one.json"]) == 0
    assert json.loads((tmp_path / "one.json").read_text())["title"] == "translate: run"
    capsys.readouterr()
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "translate: experiment"
    assert main(["schema", "config_dir=nowhere"]) == 2


def test_options_of_a_further_folder_are_known(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "cluster.yaml").write_text("defaults: [auto, _self_]\ndevices: 8\n")
    tree = {"defaults": [{"override /trainer": "cluster"}]}
    for folder, count in ((None, 1), (tmp_path, 0)):
        assert len(problems(jsonschema.Draft7Validator(document("experiment", folder)), tree)) == count


def test_the_first_line_for_an_editor_leaves_an_experiment_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hydra finds the package below the line that names the schema."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    line = "# yaml-language-server: $schema=file:///schemas/experiment.json\n"
    text = "# @package _global_\ndefaults:\n  - override /model: stargan_v1_small\nseed: 7\n"
    (tmp_path / "experiments" / "mine.yaml").write_text(line + text)
    tree = compose(["experiments=mine"])
    assert tree is not None and (tree.seed, tree.model.name) == (7, "stargan_v1")
