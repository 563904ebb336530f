"""Whatever is said on a command line: a configuration that can be saved and read, or sentences, and never an error."""

from collections.abc import Iterator, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from properties.budget import examples
from translate.config import compose as composing
from translate.config.check import check
from translate.config.command_line import parse, single_run
from translate.config.compose import compose, load
from translate.config.overrides import in_quotes
from translate.config.schema import read_yaml, to_yaml
from translate.errors import UserError
from translate.registry import plugins
from translate.sweeps.grid import launch

BASES = {
    "stargan_v2": ["model=stargan_v2_small", "data=critters", "data.num_images=12", "data.num_val_images=6"],
    "stargan_v1": ["model=stargan_v1_small", "data=critters", "data.num_images=12", "data.num_val_images=6"],
    "cyclegan": ["model=cyclegan_small", "data=critters", "data.domains=[cat,fox]", "data.num_images=8"],
    "pix2pix": ["model=pix2pix_small", "data=critters_outlines", "data.num_images=8", "data.num_val_images=4"],
}


@pytest.fixture(scope="module", autouse=True)
def _composed_once() -> Iterator[None]:
    """Let Hydra compose the same choices once only: it takes nine tenths of the time, and the values come after."""
    known: dict[tuple[str, ...], DictConfig] = {}
    hydra_compose = composing.hydra_compose

    def remembered(name: str, choices: Sequence[str], **options: Any) -> DictConfig:
        key = (name, *choices)
        if key not in known:
            known[key] = hydra_compose(name, choices, **options)
        return known[key].copy()

    activated = list(plugins._activated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "hydra_compose", remembered)
        yield
    plugins._activated[:] = activated


def keys_of(base: str) -> list[str]:
    """Return every key of a configuration, groups and what lies in them."""
    found: list[str] = []

    def walk(node: Any, path: str) -> None:
        for key, value in node.items():
            found.append(f"{path}{key}")
            if isinstance(value, dict):
                walk(value, f"{path}{key}.")

    walk(OmegaConf.to_container(compose(BASES[base])), "")
    return found


KEYS = {base: keys_of(base) for base in BASES}

# Numbers of images between what is quickly drawn and what the world holds are left out: they are good, and slow.
WORDS = """
    null true False 0 1 -1 2 7 64 1.5 -0.0 1e5 1e-6 1e400 nan inf 10000000000000 999999999999999999999999 '' 'a_b' "x"
    a cat auto adam local \\ ~ + ??? 1,2 { ] a:b a=b = 2026-01-01 0x1F 1_000 !!python/object:os.system &a *a
    ${seed} ${data.image_size} ${data} ${model.name} ${nothing} ${.name} ${..seed} ${data.num_domains} ${${seed}}
    ${data.epoch_size} ${len:[1,2]} ${len:3} ${len:${data.domains}} ${epochs:2} ${epochs:x} ${share:2}
    ${share:x} ${variant:3} ${variant:{paper:1,official_code:2}} ${variant:{paper:1}}
    ${oc.env:NO_SUCH_VARIABLE} ${oc.decode:'['}
    ${oc.create:{a:1}} ${no_resolver:1} ${ $} ${} range(3) choice(a,b) interval(0,1) glob(*) int(a) str(3) f(1)
    sort(3,1)
"""
words = st.sampled_from(WORDS.split())
garbage = st.text(max_size=12) | st.sampled_from(["\udc80", "a\x85b", "\n", " ", "a b"])
numbers = st.integers(-300, 300).map(str) | st.floats().map(repr)
leaves = words | words | numbers | garbage
names = st.sampled_from(["a", "name", "schedule", "_target_", "lr", "value", "generator", "0"]) | garbage


def as_list(values: list[str]) -> str:
    return f"[{','.join(values)}]"


def as_mapping(values: dict[str, str]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in values.items()) + "}"


values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3).map(as_list) | st.dictionaries(names, inner, max_size=3).map(as_mapping),
    max_leaves=12,
) | st.builds(lambda depth, leaf: "[" * depth + leaf + "]" * depth, st.integers(1, 60), leaves)
prefixes = st.sampled_from(["", "", "", "+", "++", "~", "~", "+~", "-"])


@st.composite
def misspelt(draw: st.DrawFn, key: str) -> str:
    """Draw a key with a letter lost, doubled or changed."""
    place = draw(st.integers(0, len(key) - 1))
    return key[:place] + draw(st.sampled_from(["", 2 * key[place], ".", "/", "@", " ", "é"])) + key[place + 1 :]


@st.composite
def overrides(draw: st.DrawFn, base: str) -> str:
    """Draw a word of a command line: a key that is there or nearly, or anything, and a value or none."""
    key = draw(st.sampled_from(KEYS[base]))
    key = draw(st.just(key) | st.just(key) | misspelt(key) | st.builds("{}.{}".format, st.just(key), names) | garbage)
    tail = draw(st.just("") | values.map("={}".format) | values.map("={}".format))
    return draw(prefixes) + key + tail


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Draw a good configuration and up to three words that change it."""
    base = draw(st.sampled_from(list(BASES)))
    return [*BASES[base], *draw(st.lists(overrides(base), min_size=1, max_size=3))]


def assert_sentences(error: UserError) -> None:
    """Every problem is one line that can be printed and says something."""
    for problem in map(str, error.problems):
        assert problem.isprintable(), problem  # line breaks are not
        assert len(problem.split()) > 2, problem


@examples(90)
@given(command_lines())
def test_a_command_line_is_a_configuration_or_sentences(words: list[str]) -> None:
    try:
        load(words)
    except UserError as error:
        assert_sentences(error)


HYDRAS = """
    hydra hydra.run.dir hydra.job.name hydra.verbose hydra.nothing hydra.searchpath hydra.output_subdir hydra.callbacks
    hydra/launcher hydra/job_logging hydra.job.env_set trainer@x experiments recipe debug resume folder
"""
of_hydra = st.builds("{}{}={}".format, prefixes, st.sampled_from(HYDRAS.split()), values)


@examples(6)
@given(st.sampled_from(list(BASES)).flatmap(lambda base: st.tuples(st.just(base), of_hydra | overrides(base))))
def test_a_command_line_is_launched_or_refused(line: tuple[str, str]) -> None:
    """As a single run, or through Hydra itself. Words that begin with a minus are flags."""
    base, word = line
    with TemporaryDirectory() as folder, chdir(folder), redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        try:
            line = parse([*BASES[base], word])
            assert single_run(line).config.folder if line.is_single_run() else launch(line) == 0
        except UserError as error:
            assert_sentences(error)
        except SystemExit as end:
            assert word.startswith("-") and end.code in (0, 2)


rates = st.floats(0, 1e20)
texts = (garbage | words).filter(lambda text: "$" not in text and text != "???")
paths = texts.filter(lambda text: text.strip() and not text.startswith(("/", "~")) and ".." not in text)
schedules = st.builds(
    "{{schedule:linear,start:{!r},end:{!r},iterations:{},after:{},every:{}}}".format,
    rates, rates, st.integers(1, 10**6), st.integers(0, 9), st.integers(1, 9),
)  # fmt: skip
GOOD = {
    "seed": st.integers(0, 2**64 - 1).map(str),
    "iterations": st.integers(1, 10**9).map(str) | st.sampled_from(["1e5", "2.0", "1e-0", "${epochs:3}"]),
    "sample_every": st.sampled_from(["null", "1e3", "${iterations}"]),
    "data.cache": texts.filter(str.strip).map(in_quotes),
    "data.max_bad_fraction": st.floats(0, 1).map(repr),
    "data.batch_size": st.integers(1, 10**9).map(str),
    "data.image_size": st.sampled_from(["32", "64", "128.0"]),
    "name": paths.map(in_quotes),
    "trainer.threads": st.sampled_from(["null", "1"]),
    "trainer.strategy": texts.filter(str.strip).map(in_quotes),
    "model.optimizers.discriminator.lr": rates.map(repr) | schedules,
    "+logger.one": texts.map(in_quotes).map("{{_target_:pytorch_lightning.loggers.CSVLogger,name:{}}}".format),
    "++metrics": st.from_regex("[a-z1-9_][a-z0-9_ ]{0,8}[a-z0-9_]", fullmatch=True).map("{{{}:{{name:local}}}}".format),
}
"""Values that are good whatever the model, many of them texts that look like something else."""


@examples(60)
@given(
    base=st.sampled_from(["stargan_v2", "stargan_v1", "pix2pix"]),
    chosen=st.sets(st.sampled_from(list(GOOD)), max_size=6).map(sorted),
    data=st.data(),
)
def test_a_configuration_is_the_same_when_it_was_saved_and_read(base: str, chosen: list[str], data: Any) -> None:
    config = load([*BASES[base], *(f"{key}={data.draw(GOOD[key], key)}" for key in chosen)])
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(to_yaml(config), encoding="utf-8")
        assert check(read_yaml(path)) == config
