# ruff: noqa: E501 - a line a mistake
"""Every mistake is a sentence that says where, what was found, what was expected; all come at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf, open_dict

from translate.config.check import check
from translate.config.compose import VERSION_BASE, compose, load
from translate.config.datasets import FOUND
from translate.config.overrides import in_quotes
from translate.config.rules import RULES
from translate.config.schema import RunConfig, read_yaml, to_mapping, to_yaml
from translate.config.search_path import shipped
from translate.errors import ConfigError

Problems = Callable[..., list[str]]

# (override, what the only problem must say)
MISTAKES = [
    ("trainer.devces=2", "trainer.devces: unknown key 'devces'. Did you mean 'devices'? Known: "),
    ("modle=painter", "modle: unknown key 'modle'. Did you mean 'model'?"),
    ("model=paintr", "model=paintr: unknown option 'paintr'. Did you mean 'painter'?"),
    ("data=zzz", "data=zzz: unknown option 'zzz'. Known: "),
    ("trainer=null", "trainer=null: a group needs the name of an option. Known: "),
    ("experiments=nothing", "experiments=nothing: unknown option 'nothing'"),
    ("recipe=nothing", "recipe=nothing: unknown option 'nothing'"),
    ("debug=fst", "Did you mean 'fast'?"),
    ("seed", "seed: expected key=value"),
    ("data=[", "data=[: this override cannot be read"),
    ("a,b=3", "a,b=3: this override cannot be read"),
    ("seed=1,2", "seed=1,2: several values. Fix: write seed=[1,2] for a list, or add -m"),
    ("+seed=3", "write it without +: seed=3"),
    ("~sed", "~sed: there is no such key to delete 'sed'. Did you mean 'seed'?"),
    ("~iterations", "iterations: the key is missing"),
    ("~data.image_size", "~data.image_size: model.networks.discriminator.image_size is given in terms of this key. Fix: set the key instead: data.image_size=..."),
    ("~data", "~data: every run needs this group. Known: "),
    ("~trainer=[cpu]", "~trainer: every run needs this group"),
    ("~debug=[fast]", "~debug=[fast]: a deleted group takes no value. Fix: write ~debug"),
    ("trainer=3", "trainer=3: unknown option 3. Known: auto, cpu"),
    ("trainer=[cpu,gp]", "trainer=[cpu,gp]: unknown option 'gp'. Did you mean 'gpu'?"),
    ("plugins.lr=3", "plugins.lr=3: plugins is a list. Fix: set the whole list: plugins=[...]"),
    ("~plugins.0", "~plugins.0: plugins is a list"),
    ("~hydra", "~hydra: Hydra's settings are set one by one. Fix: write for example hydra.sweep.dir=runs/mine"),
    ("hydra/launcher=[1]", "hydra/launcher=[1]: expected the name of an option"),
    ("hydra/job_logging=null", "hydra/job_logging=null: expected the name of an option"),
    ("~hydra/launcher=[a]", "~hydra/launcher=[a]: expected the name of an option"),
    ("hydra.verbose=null", "hydra.verbose=null: expected true, false, or names of loggers"),
    ("=3", "=3: expected key=value"),
    ("metrics={mine:{name:local}}", "add them with two plus signs: ++metrics={mine:{name:local}}"),
    ("name=${epochs:x}", "name: "),
    ("a\nb=3", "a\\nb=3: this override cannot be read"),
    ("+modl=3", "modl: unknown key 'modl'. Did you mean 'model'?"),
    ("seed=a", "seed: found 'a', expected a whole number"),
    ("seed=-1", "seed: found -1, expected 0 to 2^64 - 1"),
    ("seed=18446744073709551616", "expected 0 to 2^64 - 1"),
    ("seed=null", "seed: found None, expected a whole number"),
    ("iterations=1.5", "iterations: found 1.5, expected a whole number"),
    ("iterations=0", "iterations: found 0, expected at least 1"),
    ("sample_every=0", "sample_every: found 0, expected at least 1, or null to switch it off"),
    ("checkpoint_every=-1", "checkpoint_every: found -1"),
    ("name=../x", "name: found '../x', expected a plain name"),
    ("seed=${sed}", "seed: Interpolation key 'sed' not found"),
    ("seed=???", "seed: the value is missing; expected a whole number. Fix: write seed=..."),
    ("data.image_size=48", "data.image_size: found 48, expected a power of two of at least 32 for the network discriminator. Fix: use 32 or 64"),
    ("data.image_size=10000000000000", "a power of two of at least 32 for the network discriminator. Fix: use 8192"),
    ("data.image_size=16", "of at least 32 for the network discriminator. Fix: use 32"),
    ("data.num_workers=-1", "data.num_workers: found -1, expected at least 0"),
    ("+data.crop_until=-1", "data.crop_until: found -1, expected at least 0"),
    ("data.max_bad_fraction=2.0", "data.max_bad_fraction: found 2.0, expected a fraction from 0 to 1"),
    ("data.domains=[red]", "data.domains: found only 'red', expected 2 or more for the model 'my_lab_painter_gan'"),
    ("data.domains=[red,gren]", "my_lab_dots has no domain 'gren'"),
    ("data.num_images=few", "data.num_images: found 'few', expected a whole number"),
    ("+data.num_image=3", "data.num_image: the data set 'my_lab_dots' has no argument 'num_image'. Did you mean 'num_images'?"),
    ("+data.split=val", "data.split: the program gives this argument to 'my_lab_dots'. Fix: remove it"),
    ("data.name=my_lab_dot", "data.name: unknown data set 'my_lab_dot'. Did you mean 'my_lab_dots'?"),
    ("trainer.precision=bf16", "trainer.precision: found 'bf16', expected '32-true' or 'bf16-mixed'"),
    ("trainer.devices=3", "data.batch_size: the global batch is split evenly; found 8, expected a multiple of 3"),
    ("trainer.devices=0", "trainer.devices: found 0, expected 1 or more"),
    ("model.name=my_lab_painter", "model.name: unknown model 'my_lab_painter'"),
    ("+model.latent_siz=3", "model.latent_siz: the model 'my_lab_painter_gan' has no argument 'latent_siz'. Did you mean 'latent_size'?"),
    ("model.ema_decay=slow", "model.ema_decay: found 'slow', expected a number"),
    ("+model.seed=3", "model.seed: the program gives this argument to"),
    ("+model.networks.generator.widht=3", "model.networks.generator.widht: the network 'my_lab_painter' has no argument 'widht'. Did you mean 'width'? Known: num_domains, width"),
    ("model.networks.generator.width=w", "model.networks.generator.width: found 'w', expected a whole number"),
    ("model.networks.generator.num_domains=5", "model.networks.generator.num_domains: found 5, expected 3, the value of data.num_domains. Fix: write ${data.num_domains}"),
    ("model.networks.discriminator.image_size=64", "found 64, expected 32, the value of data.image_size"),
    ("model.networks.generator.name=my_lab_pinter", "unknown network 'my_lab_pinter'. Did you mean 'my_lab_painter'?"),
    ("model.networks.generator=3", "model.networks.generator: found 3, expected a mapping"),
    ("~model.networks.generator", "model.networks.generator: the key is missing; expected this role of the model"),
    ("+model.networks.extra={name:my_lab_painter,num_domains:3}", "model.networks.extra: unknown role 'extra'. Known: generator, discriminator"),
    ("model.optimizers.generator._target_=torch.optim.Adan", "this import path names nothing; found 'torch.optim.Adan'"),
    ("model.optimizers.generator._target_=Adam", "expected an import path such as torch.optim.Adam"),
    ("+model.optimizers.generator.beta=3", "torch.optim.Adam has no argument 'beta'. Did you mean 'betas'?"),
    ("model.optimizers.generator.lr=fast", "model.optimizers.generator.lr: found 'fast', expected a number or a mapping"),
    ("model.optimizers.generator.lr={schedule:linear,start:1}", "model.optimizers.generator.lr.end: the schedule 'linear' needs this key"),
    ("~model.optimizers.generator", "model.optimizers.generator: the key is missing"),
    ("model.losses.adversarial.name=hing", "unknown loss 'hing'"),
    ("+model.losses.cycle={name:l1}", "model.losses.cycle: unknown slot 'cycle'. Known: adversarial"),
    ("~model.losses.adversarial", "model.losses.adversarial: the key is missing"),
    ("~model.weights.generator.cycle", "model.weights.generator.cycle: the key is missing"),
    ("+model.weights.generator.zzz=1", "model.weights.generator.zzz: unknown term 'zzz'. Known: adversarial, cycle"),
    ("model.weights.generator.cycle={schedule:[]}", "unknown schedule []. Known: constant, linear"),
    ("model.weights.generator.cycle={schedule:linaer}", "unknown schedule 'linaer'. Did you mean 'linear'?"),
    ("+model.weights.mapping={}", "model.weights.mapping: unknown phase"),
    ("+logger.tb={_target_:pytorch_lightning.loggers.TensorBordLogger}", "this import path names nothing"),
    ("+logger.tb=3", "logger.tb: found 3, expected a mapping"),
    ("+metrics.m={name:nothing}", "metrics.m.name: unknown metric 'nothing'"),
]  # fmt: skip


@pytest.mark.parametrize(("override", "sentence"), MISTAKES, ids=[override for override, _ in MISTAKES])
def test_mistake_is_one_sentence(problems_of: Problems, override: str, sentence: str) -> None:
    problems = problems_of(override)
    assert len(problems) == 1, problems
    assert sentence in problems[0]
    assert "\n" not in problems[0]


def test_the_small_configuration_is_good(problems_of: Problems) -> None:
    assert problems_of() == []


def test_a_misspelt_key_is_said_once(problems_of: Problems) -> None:
    (problem,) = problems_of("~model.weights.generator.cycle", "+model.weights.generator.cylce=1")
    assert "model.weights.generator.cylce: unknown term 'cylce'. Did you mean 'cycle'?" in problem


def test_all_problems_come_at_once(problems_of: Problems) -> None:
    problems = problems_of(
        "seed", "trainer=gp", "trainer.devces=2", "model.netwroks.generator.width=4", "seed=a", "data.batch_size=0",
        "data.image_size=33", "~model.weights.generator.cycle", "+data.num_image=1", "checkpoint_every=0",
    )  # fmt: skip
    assert len(problems) == 10, problems
    starts = (
        "seed:",
        "trainer=gp:",
        "trainer.devces:",
        "model.netwroks:",
        "seed:",
        "data.batch_size:",
        "data.image_size:",
    )
    for start in (*starts, "model.weights.generator.cycle:", "data.num_image:", "checkpoint_every:"):
        assert any(problem.startswith(start) for problem in problems), start


def test_missing_arguments_and_groups(small: list[str]) -> None:
    tree = to_mapping(load(small))
    del tree["model"]["networks"]["generator"]["num_domains"]
    del tree["trainer"]
    with pytest.raises(ConfigError) as caught:
        check(tree)
    assert len(caught.value.problems) == 2
    assert "num_domains: the network 'my_lab_painter' needs this key; expected a whole number" in str(caught.value)
    assert "trainer: the key is missing" in str(caught.value)


def test_who_needs_a_key_that_was_deleted(problems_of: Problems) -> None:
    several = ["seed=${data.image_size}", "iterations=${seed}", "log_every=${data.image_size}"]
    (problem,) = problems_of(*several, "sample_every=${data.image_size}", "~data.image_size")
    assert problem.startswith("~data.image_size: seed, iterations, log_every and 2 more are given in terms of this key")
    assert problems_of("~data.image_size", "+data.image_size=32") == []
    assert (
        problems_of(
            "iterations=${data.max_bad_fraction}",
            "~data.max_bad_fraction",
            "iterations=3",
            "+data.max_bad_fraction=0.0",
        )
        == []
    )
    (problem,) = problems_of("iterations=${epochs:2}", "~data.batch_size")
    assert problem.startswith("~data.batch_size: iterations is given in terms of this key")


@pytest.mark.parametrize(
    "text", ["1e5", "1_0e-6", "inf", "0x1F", "yes", "2026-01-01", "a\nb", "\x85é", "\udc80", " a ", "~"]
)
def test_texts_that_look_like_something_else_are_saved_as_texts(small: list[str], tmp_path: Path, text: str) -> None:
    config = load([*small, f"data.cache={in_quotes(text)}"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert check(read_yaml(path)) == config
    assert config.data.cache == text


def test_unknown_plugin() -> None:
    with pytest.raises(ConfigError, match="the package 'no_such_lab' does not exist"):
        load(["plugins=[no_such_lab]", "debug=fast"])


def test_key_that_the_files_do_not_mention(small: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"add it with a plus sign: \+model.networks.discriminator.max_width=64"):
        load([*small, "~model.networks.discriminator.max_width", "model.networks.discriminator.max_width=64"])
    assert load([*small, "++trainer.threads=2"]).trainer.threads == 2


def test_misspelt_key_in_an_experiment(small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "experiments" / "study"
    folder.mkdir(parents=True)
    (folder / "a.yaml").write_text("iteratoins: 3\ntrainer:\n  devises: 2\nmodel:\n  weigths: {}\n")
    (folder / "b.yaml").write_text("iterations: 3\nname: [\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load([*small, "experiments=study/a"])
    text = str(caught.value)
    assert "iteratoins: unknown key 'iteratoins'. Did you mean 'iterations'?" in text
    assert "trainer.devises: unknown key 'devises'. Did you mean 'devices'?" in text
    assert "model.weigths: the model 'my_lab_painter_gan' has no argument 'weigths'. Did you mean 'weights'?" in text
    with pytest.raises(ConfigError, match=r"b\.yaml:\d+: this is not YAML"):
        load([*small, "experiments=study/b"])


def test_experiments_beside_the_user_come_first(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "experiments" / "my_lab"
    folder.mkdir(parents=True)
    (folder / "first.yaml").write_text("iterations: 123\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_text("x: 1\n")
    monkeypatch.chdir(tmp_path)
    config = load([*small, "experiments=my_lab/first"])
    assert (config.iterations, config.name) == (123, "my_lab/first")
    with pytest.raises(ConfigError, match="data=mine: unknown option 'mine'"):  # a folder of data is no group
        load([*small, "data=mine"])


def test_config_dir(small: list[str], tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "mine.yaml").write_text("defaults: [auto, _self_]\nprecision: 64-true\n")
    assert load([*small, "trainer=mine"], config_dir=str(tmp_path)).trainer.precision == "64-true"


def test_result_is_typed_and_frozen(small: list[str]) -> None:
    config = load([*small, "iterations=1e3", "model.weights.generator.cycle=2"])
    assert isinstance(config, RunConfig)
    assert config.iterations == 1000
    assert isinstance(config.iterations, int)
    assert config.data.domains == ["blue", "red", "yellow"]
    assert config.model.networks["generator"]["num_domains"] == config.data.num_domains == 3
    assert config.model.arguments["ema_decay"] == 0.99
    assert config.data.arguments == {"num_images": 120}
    assert config.name == "painter"
    with pytest.raises(AttributeError):
        config.seed = 3  # type: ignore[misc]


def test_checking_changes_nothing_and_is_stable(small: list[str]) -> None:
    tree = compose(small)
    assert tree is not None
    before = tree.copy()
    load(small)
    assert tree == before
    config = load(small)
    assert check(to_mapping(config)) == config


ONE_VALUE = [
    ("xgan", 32, "network encoder_shared"),
    ("xgan", 16, "networks encoder_shared, decoder_shared"),
    ("diat_a", 64, "network discriminator"),
    ("srgan_small", 16, "network discriminator"),
    ("cyclegan_small_conv", 16, "networks discriminator_a, discriminator_b"),
]
"""Models and image sizes, and networks whose batch norms see one value of each channel in one image."""


@pytest.mark.parametrize(("model", "size", "networks"), ONE_VALUE)
def test_batch_norms_of_one_value_are_refused(model: str, size: int, networks: str) -> None:
    line = [f"model={model}", "data=critters", "data.domains=[cat,rabbit]", f"data.image_size={size}"]
    with pytest.raises(ConfigError) as caught:
        load([*line, "data.batch_size=1"])
    (problem,) = caught.value.problems
    assert str(problem) == (
        "data.batch_size: a batch norm needs more than one value of each channel; found 1, expected at least 2, "
        f"for the batch norms of the {networks}. Fix: use a larger batch"
    )
    assert load([*line, "data.batch_size=2"]).data.batch_size == 2


@pytest.mark.parametrize("changed", ["data.image_size=128", "model.networks.discriminator.norm=instance"])
def test_batch_norms_of_several_values_take_one_image(changed: str) -> None:
    line = ["model=diat_a", "data=critters", "data.domains=[cat,rabbit]", "data.image_size=64", "data.batch_size=1"]
    assert load([*line, changed]).data.batch_size == 1


def test_rules_say_what_they_are_for() -> None:
    assert all(rule.__doc__ for rule in RULES)


SAME = [
    ["seed=3", "trainer=ddp_cpu", "trainer.devices=4"],
    ["++trainer.threads=2", "+logger.a={_target_: b.c, d: [1, '${seed}']}"],
    ["~model.weights.generator.cycle", "+model.weights.generator.cycle={schedule: linear, start: 1e-3}"],
    ["model.weights={discriminator: {real: 2}}", "name='a, b'", "data.domains=[red, blue]"],
    ["experiments=my_lab/first", "iterations=7", "data.image_size=${seed}", "debug=fast"],
]


@pytest.mark.parametrize("overrides", SAME, ids=" ".join)
def test_values_are_set_as_hydra_sets_them(small: list[str], overrides: list[str]) -> None:
    import hydra

    ours = compose([*small, *overrides])
    with hydra.initialize_config_dir(str(shipped("conf")), version_base=VERSION_BASE):
        theirs = hydra.compose("train", [*small, *overrides])
    theirs.name = ours.name
    with open_dict(ours):
        for key in FOUND:
            assert ours.data.pop(key) is None  # known when the data has been seen
    assert OmegaConf.to_container(ours) == OmegaConf.to_container(theirs)
    assert list(ours) == list(theirs)


def test_rates_fall_over_a_share_of_the_run(problems_of: Problems) -> None:
    small = ["model=cyclegan", "data=critters", "data.num_images=40"]
    for iterations, half in ((600, 300), (1, 1)):
        rate = load([*small, f"iterations={iterations}"]).model.optimizers["generator_ab"]["lr"]
        assert (rate["after"], rate["iterations"]) == (half, half)
    lr = "model.optimizers.generator.lr"
    falling = f"{lr}={{schedule: linear, start: 1e-3, end: 0.0, iterations: 1, after: '${{share:0.5}}'}}"
    (problem,) = problems_of(falling, "iterations=many")
    assert problem.startswith("iterations: ")
    (problem,) = problems_of(falling.replace("0.5", "half"))
    assert problem.startswith(f"{lr}.after: ")
    assert "share: found 'half', expected a number" in problem


@pytest.mark.parametrize("sign", ["", "++"])
def test_a_schedule_as_a_whole_replaces_the_one_of_the_files(sign: str) -> None:
    """Keys of the old schedule, also those that both know, do not stay."""
    pair = ["model=cyclegan", "~recipe", "data=critters", "data.domains=[cat,rabbit]", "data.num_images=40"]
    lr, lines = "model.optimizers.generator_ab.lr", [*pair, "iterations=8"]
    step = {"schedule": "step", "start": 1e-3, "factor": 0.5, "every": 2}
    rates = load([*lines, f"{sign}{lr}={{schedule: step, start: 1e-3, factor: 0.5, every: 2}}"]).model.optimizers
    assert [node["lr"] for node in rates.values()] == [step] * 4
    linear = "{schedule: linear, start: 1e-3, end: 0.0, iterations: 4}"
    assert "every" not in load([*lines, f"{sign}{lr}={linear}"]).model.optimizers["generator_ab"]["lr"]
    (nested,) = [load([*lines, f"{sign}model.optimizers.generator_ab={{lr: {linear}, betas: [0.1, 0.9]}}"])]
    assert nested.model.optimizers["generator_ab"]["_target_"] == "torch.optim.Adam"  # the rest is merged
    assert "every" not in nested.model.optimizers["generator_ab"]["lr"]


def test_a_mapping_without_a_schedule_changes_single_keys() -> None:
    pair = ["model=cyclegan", "~recipe", "data=critters", "data.domains=[cat,rabbit]", "data.num_images=40"]
    rate = load([*pair, "iterations=8", "model.optimizers.generator_ab.lr={start: 0.5}"]).model.optimizers
    assert (rate["generator_ab"]["lr"]["schedule"], rate["generator_ab"]["lr"]["start"]) == ("linear", 0.5)


def test_what_is_given_in_epochs_can_be_given_anew() -> None:
    """An epoch is known once the data has been seen, which must not keep an override from replacing it."""
    pair = ["model=cyclegan", "~recipe", "data=critters", "data.domains=[cat,rabbit]", "data.num_images=40"]
    assert load([*pair, "data.batch_size=4", "iterations=${epochs:2}"]).iterations == 2 * 5
    assert load([*pair, "iterations=${epochs:2}", "iterations=3"]).iterations == 3
    rates = load([*pair, "model.optimizers.generator_ab.lr.after=7"]).model.optimizers
    assert all(node["lr"]["after"] == 7 for node in rates.values())


@pytest.mark.parametrize("group", ["model", "data", "trainer", "logger", "metrics"])
def test_a_group_chosen_as_a_value_is_one_sentence_with_the_right_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    option = {"model": "stargan_v2_small", "data": "critters", "trainer": "cpu", "logger": "none", "metrics": "none"}[
        group
    ]
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "experiments" / "mine.yaml"
    path.write_text(f"{group}: {option}\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(["experiments=mine"], scan=False)
    (problem,) = caught.value.problems
    fix = f"defaults: [{{override /{group}: {option}}}]"
    assert fix in str(problem)
    path.write_text(f"{fix}\n")
    assert (
        load(["experiments=mine", "data=critters"] if group != "data" else ["experiments=mine"], scan=False).seed == 0
    )


def test_a_checkpoint_that_is_older_than_a_key_with_a_default_is_read() -> None:
    """Such a configuration is in every checkpoint that an earlier version wrote, and `evaluate` reads it."""
    tree = to_mapping(load(["model=cyclegan_small", "data.domains=[cat,rabbit]"], scan=False))
    assert tree.pop("trust") == []
    assert check(tree).trust == []


@pytest.mark.parametrize("augment", ["crop_flip", "crop_turn"])
def test_crops_of_every_iteration_have_no_end(augment: str) -> None:
    line = ["model=stargan_v2_small", "data=critters", "data.crop_until=5", f"data.augment={augment}"]
    with pytest.raises(ConfigError) as raised:
        load(line)
    said = f"data.crop_until: the augmentation '{augment}' crops in every iteration; found 5. "
    assert said + "Fix: data.augment=resize_crop_flip, or null here" in str(raised.value)
    assert load([*line[:3], "data.augment=resize_crop_flip"]).data.crop_until == 5
