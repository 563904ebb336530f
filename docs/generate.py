"""Write the pages of docs that repeat the code and the configuration, and experiments/README.md.

    python docs/generate.py

Nothing is kept by hand: types and comments come from the dataclasses of the schema, values from the YAML files,
parts from the registries' static index. A test compares the files with what `generate` returns.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from translate.config import schema
from translate.config.check import INJECTED, RULES
from translate.config.declared import declared, values_with_comments
from translate.config.experiments import HEADER, header
from translate.config.types import in_words
from translate.data.views.base import missing_needs
from translate.registry.registry import REGISTRIES, VIEWS
from translate.registry.signatures import Entry
from translate.schedules import SCHEDULES

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
EXPERIMENTS = ROOT / "experiments"
NOTICE = "<!-- Written by docs/generate.py; `make docs` writes it anew. -->"

TYPED = {"model": "ModelConfig", "data": "DataConfig", "trainer": "TrainerConfig"}
"""Groups whose keys are the fields of a dataclass."""

GROUPS = {
    "model": "What learns. The other keys of an option are the arguments of the model that `name` names.",
    "data": "What it learns from. The other keys of an option are the arguments of the data set that `name` names.",
    "preset": (
        "What a model changes on a source of data, before the recipe. The option `<model>-<source>` is included if it "
        "exists. Data sets are files, except the built-in worlds, which are drawn (`override /source@_global_.source: "
        "drawn`): small presets of models train on files for a time, and `iterations=N` or `budget=30min` changes it."
    ),
    "recipe": (
        "What a model changes on a kind of data. A data set's file names its kind (`override /kind@_global_.kind: "
        "unpaired`), and the files that begin with it inherit the kind. The option `<model>-<kind>` is included if it "
        "exists; `~recipe` leaves it out."
    ),
    "trainer": "Where it runs.",
    "logger": (
        "Where values are logged, beside metrics.jsonl in the run folder. Each key is a name of your choice; "
        "`_target_` is the "
        "import path of a Lightning logger, the rest are its arguments. `save_dir` is the run folder."
    ),
    "metrics": (
        "What is measured when a run ends. Each key is a label of your choice; `name` is a metric, the rest are its "
        "arguments."
    ),
    "debug": "Settings to look into something; off unless chosen.",
}
"""Groups in the order of the page; a group that is not named here comes last."""

KINDS = {
    "networks": "named in `model.networks.<role>`",
    "losses": "named in `model.losses.<slot>`, or called by a model",
    "datasets": "named in `data`",
    "views": "named by models as their batch",
    "metrics": "named in `metrics.<label>`",
    "models": "named in `model`",
}


def generate() -> dict[Path, str]:
    """Return what the generated files hold: path -> text. Nothing is written."""
    return {
        ROOT / "docs" / "config.md": config_page(),
        ROOT / "docs" / "numerics.md": numerics_page(),
        ROOT / "docs" / "pairs.md": pairs_page(),
        EXPERIMENTS / "README.md": experiments_page(),
    }


# --- docs/numerics.md ---------------------------------------------------------------------------------------


def numerics_page() -> str:
    """Return docs/numerics.md: what the head of every model, network and loss file says under "Differences"."""
    sections = []
    for folder in ("models", "networks", "losses"):
        for path in sorted((ROOT / "src" / "translate" / folder).glob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            head, found, rest = text.partition("\nDifferences")
            if found:
                sections += [f"## {folder}/{path.name}", head.splitlines()[0], _bullets(rest)]
    return _joined(
        [
            "# Numerics",
            NOTICE,
            "Where this code departs from a paper or from its published code, as the head of each file says it. What "
            "is not named here is as published: networks and steps are tested against figures measured on the "
            "published implementations (`tests/numerics`).",
            *sections,
        ]
    )


def _bullets(text: str) -> str:
    """Return a section of a docstring: a list as it is, a sentence as a list of one."""
    if text.startswith("\n"):
        return text.strip().split("\n\n")[0]
    sentence = " ".join(text.strip(" :").split("\n\n")[0].split())
    return f"- {sentence[0].upper()}{sentence[1:]}"


# --- docs/config.md -----------------------------------------------------------------------------------------


def config_page() -> str:
    """Return docs/config.md."""
    return _joined(
        [
            "# Configuration",
            NOTICE,
            f"A configuration is composed by Hydra: `conf/train.yaml`, then an option of each group, in the order "
            f"{', '.join(_order())}, then the values on the command line. Where two say different things, the later "
            "one counts. The whole is then checked, and every problem is said at once. `python -m translate show` "
            "prints the result. The parts are explained in [concepts.md](concepts.md).",
            "`???` marks a required value, `null` switches a feature off. No key is optional by absence.",
            "## The root",
            _table(("key", "type", "as shipped", "what it is"), list(_root_rows())),
            *_group_sections(),
            "## Parts",
            "What `name:` can name. Arguments without a default must be given. Plug-ins add to these lists; "
            "`python -m translate list` prints them with those of plug-ins.",
            *_part_sections(),
            "## Numbers that change with training",
            "A loss weight is a number, or a mapping with the key `schedule`, a function of the iteration.",
            *_schedule_sections(),
            "## What is checked",
            "Every key is known, every value fits its type, every part exists and takes its arguments, roles, slots, "
            "phases and terms are those that the model declares. Beyond that:",
            "\n".join(f"- {_first_line(rule.__doc__)}" for rule in RULES),
            "## Keys that cannot change the result",
            "Two runs whose configurations agree without these keys are the same experiment. `resume=auto` looks for "
            "such a run of the same name; there `iterations` may differ too.",
            ", ".join(f"`{key}`" for key in sorted(schema.RESULT_NEUTRAL_KEYS)),
        ]
    )


def _root_rows() -> Iterator[tuple[str, ...]]:
    shipped = values_with_comments(CONF / "train.yaml")
    for key in declared("RunConfig"):
        value, comment = shipped.get(key.name, ("", ""))
        if not value:
            yield f"`{key.name}`", "a group", "", f"see [{key.name}](#{key.name})"
            continue
        yield f"`{key.name}`", in_words(key.annotation), f"`{value}`" if value else "", comment or key.comment


def _order() -> list[str]:
    """Return the groups in the order in which they are laid over each other."""
    found = re.findall(r"^  - (?:optional )?(\w+): ", (CONF / "train.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    return [f"`{group}`" for group in found]


def _group_sections() -> Iterator[str]:
    there = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and any(folder.glob("*.yaml")))
    for group in [*GROUPS, *(name for name in there if name not in GROUPS)]:
        yield f"## {group}"
        if group in GROUPS:
            yield GROUPS[group]
        if group in TYPED:
            rows = [(f"`{key.name}`", in_words(key.annotation), key.comment) for key in declared(TYPED[group])]
            yield _table(("key", "type", "what it is"), rows)
        for path in sorted((CONF / group).rglob("*.yaml")):
            option = path.relative_to(CONF / group).with_suffix("").as_posix()
            text, body = _comment_and_body(path)
            yield f"### {group}={option}" if group != "recipe" else f"### {option}"
            if text:
                yield text
            yield f"```yaml\n{body}\n```"


def _comment_and_body(path: Path) -> tuple[str, str]:
    """Return the comment at the head of a YAML file as one text, and what follows it."""
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    count = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    text = [line.lstrip("# ") for line in lines[:count] if not line.startswith("# @")]
    return " ".join(text), "\n".join(lines[count:]).strip("\n")


def _part_sections() -> Iterator[str]:
    for kind in REGISTRIES:
        yield f"### {kind}"
        yield f"{KINDS[kind][0].upper()}{KINDS[kind][1:]}."
        for entry in _ours(kind):
            yield _part(entry, INJECTED.get(kind, ()))


def _part(entry: Entry, handed: Sequence[str]) -> str:
    lines = [f"**`{entry.name}`**: {_plain(entry.summary)}"]
    takes = [p for p in entry.parameters if p.name not in handed]
    if entry.is_class:
        for parameter in takes:
            words = in_words(parameter.annotation) if parameter.annotation else "anything"
            default = "" if parameter.required else f"; default `{_value(parameter.default)}`"
            lines.append(f"- `{parameter.name}`: {words}{default}")
    elif takes:
        lines.append(f"- a function of {', '.join(f'`{parameter.name}`' for parameter in takes)}")
    special = {"images": _streams, "num_domains": _range} if entry.kind == "view" else {"batch_norm": _values}
    lines += [f"- {_fact_words(name)} {special.get(name, _fact_value)(value)}" for name, value in entry.facts.items()]
    return "\n".join([lines[0], *(["", *lines[1:]] if len(lines) > 1 else [])])


def _fact_words(name: str) -> str:
    words = {
        "batch": "sees the batch",
        "networks": "needs the networks",
        "optional_networks": "may have the networks",
        "losses": "needs the losses",
        "terms": "weighs the terms",
        "provides": "provides for every image",
        "needs": "needs for every image",
        "num_domains": "number of domains:",
        "images": "image fields, and the streams of their augmentation:",
        "fetches": "may be downloaded when it is opened:",
        "image_size": "takes an image size of",
        "batch_norm": "values of a channel in an image at the smallest batch norm:",
    }
    return words.get(name, name)


def _streams(images: Mapping[str, str | int]) -> str:
    return ", ".join(f"`{field}` (`{stream}`)" for field, stream in images.items())


def _values(fact: Mapping[str, Any]) -> str:
    """Return the fact `batch_norm` of a network, see `translate.config.network_sizes.values_of_a_channel`."""
    when = "".join(f", with `{name}: {value}`" for name, value in fact.get("when", {}).items())
    if "values" in fact:
        return f"{fact['values']}{when}"
    divisor = fact["divisor"] if "divisor" in fact else f"2^{fact['halvings']}"
    return f"those of the image with its sides divided by `{divisor}`{when}"


def _range(limits: tuple[int, int | None]) -> str:
    least, most = limits
    return f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"


def _fact_value(value: object) -> str:
    if isinstance(value, dict) and all(isinstance(terms, tuple) for terms in value.values()):
        return "; ".join(f"`{phase}`: {_fact_value(terms)}" for phase, terms in value.items())
    if isinstance(value, dict):
        words = {
            "minimum": "at least {}",
            "maximum": "at most {}",
            "multiple_of": "a multiple of {}",
            "halvings": "divisible by two as often as `{}` says",
        }
        found = [words[key].format(number) for key, number in value.items() if key in words]
        facts = {"power_of_two": "a power of two", "square": "a square"}
        return ", ".join([*found, *(word for key, word in facts.items() if value.get(key))])
    if isinstance(value, tuple | list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value}`"


def _schedule_sections() -> Iterator[str]:
    for name, kind in SCHEDULES.items():
        keys = [f"`{f.name}`" + ("" if f.default is MISSING else f" (default {f.default})") for f in fields(kind)]
        yield f"- **`{name}`**: {_first_line(kind.__doc__)} Keys: {', '.join(keys)}."
    yield "```yaml\ndiversity: {schedule: linear, start: 2.0, end: 0.0, iterations: 100000}\n```"


# --- docs/pairs.md ------------------------------------------------------------------------------------------


def pairs_page() -> str:
    """Return docs/pairs.md: which model learns from which data set."""
    models, sets = _ours("models"), _ours("datasets")
    options = _options_by_data_set()
    rows = [
        (_codes([data.name]), _codes(options.get(data.name, [])), *(_verdict(model, data) for model in models))
        for data in sets
    ]
    return _joined(
        [
            "# Models and data sets",
            NOTICE,
            "A model says which batch it sees, a view what its batch needs, a data set what it provides. Where "
            "that fits, the pair trains; the others are refused before anything is built, in a sentence that names "
            "both sides. A test trains every pair that says yes for an iteration, and lets every other be refused.",
            _table(("data set", "options of `data`", *(_codes([model.name]) for model in models)), rows),
            *_two_domain_note(models),
            "`celeba` has domains where `data.domain_attribute` names an attribute. A data set of your own joins by "
            "[a plug-in](concepts.md#registries-index-plug-ins).",
        ]
    )


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _ours(kind: str) -> list[Entry]:
    """Return the entries of a registry that are not of a plug-in."""
    registry = REGISTRIES[kind]
    return [entry for entry in registry.index().values() if entry.module.startswith(registry.home)]


def _verdict(model: Entry, data: Entry) -> str:
    missing = missing_needs(VIEWS.facts(model.facts["batch"])["needs"], data.facts["provides"])
    return f"no {' and no '.join(missing)}" if missing else "yes"


def _two_domain_note(models: Sequence[Entry]) -> Iterator[str]:
    names = [model.name for model in models if VIEWS.facts(model.facts["batch"])["num_domains"][1] == 2]
    if names:
        yield (
            f"Between two domains only: {_codes(names)}. From a data set of more, choose them by "
            "`data.domains=[cat,dog]`; the first one is the source where a model has a direction."
        )


def _options_by_data_set() -> dict[str, list[str]]:
    """Return data set -> options of the group `data` that name it, themselves or by what they begin with."""
    trees = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CONF / "data").glob("*.yaml")}

    def named_by(option: str) -> str:
        tree = trees[option]
        return tree["name"] if "name" in tree else named_by(next(iter(tree["defaults"])))

    found: dict[str, list[str]] = {}
    for option in sorted(trees):
        found.setdefault(named_by(option), []).append(option)
    return found


# --- experiments/README.md ----------------------------------------------------------------------------------


def experiments_page() -> str:
    """Return experiments/README.md."""
    rows = []
    for path in sorted(EXPERIMENTS.rglob("*.yaml")):
        option = path.relative_to(EXPERIMENTS).with_suffix("").as_posix()
        text = header(path)
        columns = ("Question", "Change", "Expected", "Cost", "Status")
        rows.append((f"[{option}]({option}.yaml)", *(text.get(key, "") for key in columns)))
    return _joined(
        [
            "# Experiments",
            NOTICE,
            "What is typed is the path on disk: `experiments=stargan_v2/afhq_256` is `stargan_v2/afhq_256.yaml` here, "
            "or in a folder `experiments` where you work, which comes first.",
            _table(("name", "question", "change", "expected", "cost", "status"), rows),
            f"Every file begins with comments that say {', '.join(HEADER)}, in this order, one line each or more.",
        ]
    )


# --- reading and writing text -------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def _joined(blocks: Sequence[str]) -> str:
    """Return blocks of Markdown with a blank line between them, the items of a list together."""
    text = blocks[0]
    for before, block in pairwise(blocks):
        text += ("\n" if before.startswith("- ") and block.startswith("- ") else "\n\n") + block
    return text + "\n"


def _first_line(docstring: str | None) -> str:
    return _plain((docstring or "").strip().splitlines()[0])


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _value(value: object) -> str:
    """Return a default as YAML writes it."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return str(list(value)) if isinstance(value, tuple) else str(value)


def main() -> None:
    """Write the files."""
    for path, text in generate().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
