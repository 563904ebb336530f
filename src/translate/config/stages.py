"""Experiments with stages: a file of experiments whose key ``stages`` names runs that follow each other.

    stages:
      first: [model=classifier, iterations=2000]
      second: [model=dtn, "model.networks.encoder.weights=${stage:first}"]

A stage is a list of overrides, on top of the file itself. ``${stage:NAME}`` is the run folder of an earlier stage. On
the command line, ``stages.NAME.KEY=VALUE`` is for one stage, any other word for all, and ``stage=NAME`` chooses one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translate.config.search_path import EXPERIMENTS, groups
from translate.errors import UserError
from translate.files.yaml_files import checked_text

STAGE, STAGES = "stage", "stages"
NAME = re.compile(r"[A-Za-z]\w*")
EXPECTED = "a mapping: name of a stage -> list of overrides"


@dataclass(frozen=True)
class Stages:
    """The stages of an experiment, in their order."""

    experiment: str
    words: dict[str, list[str]]  # name -> overrides

    def expanded(self, name: str, overrides: Sequence[str]) -> list[str]:
        """Return the overrides of a stage: the experiment, the stage's own, then those of the command line.

        A word of the command line takes the place of one with the same key.
        """
        if name not in self.words:
            raise UserError("this experiment has no such stage", key=STAGE, found=name, known=list(self.words))
        given = []
        for word in overrides:
            if _key(word).startswith(f"{STAGES}."):
                prefix, own = self._of_stage(word)
                if own != name:
                    continue
                word = word.replace(prefix, "", 1)
            if _key(word) not in (STAGE, EXPERIMENTS):
                given.append(word)
        keys = {_key(word) for word in given}
        own_words = [word for word in self.words[name] if _key(word) not in keys]
        chosen = [] if any(_key(word) == EXPERIMENTS for word in own_words) else [f"{EXPERIMENTS}={self.experiment}"]
        return [*chosen, *own_words, *given, f"{STAGE}={name}"]

    def _of_stage(self, word: str) -> tuple[str, str]:
        """Return the prefix ``stages.NAME.`` of a word, and the name; UserError for a name that is no stage."""
        name, dot, rest = _key(word).removeprefix(f"{STAGES}.").partition(".")
        if name not in self.words or not dot or not rest:
            raise UserError("no stage has this key", key=_key(word), found=name, known=list(self.words))
        return f"{STAGES}.{name}.", name


def of_experiment(overrides: Sequence[str], config_dir: str | None = None) -> Stages | None:
    """Return the stages of the experiment that overrides choose; None without an experiment or without stages."""
    values = [_value(word) for word in overrides if _key(word) == EXPERIMENTS]
    known = groups(Path(config_dir) if config_dir else None)[EXPERIMENTS]
    path = known.get(values[-1]) if values else None
    text = None if path is None else checked_text(path)
    if path is None or text is None or not re.search(rf"^{STAGES}:", text, re.MULTILINE):
        return None
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        tree = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except OmegaConfBaseException:
        return None  # composing reports it
    node = tree.get(STAGES) if isinstance(tree, dict) else None
    return None if node is None else Stages(values[-1], _checked(node, path))


def _checked(node: Any, path: Path) -> dict[str, list[str]]:
    if not isinstance(node, Mapping) or not node:
        raise UserError(f"in {path}", key=STAGES, found=node, expected=EXPECTED)
    for name, words in node.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise UserError(f"the name of a stage in {path}", key=STAGES, found=name, expected="letters and digits")
        if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
            raise UserError(f"in {path}", key=f"{STAGES}.{name}", found=words, expected="a list of overrides")
    return {str(name): list(words) for name, words in node.items()}


def expanded(overrides: Sequence[str], config_dir: str | None = None) -> list[str]:
    """Return overrides with the words of the stage that they choose by ``stage=NAME``; others stay as they are.

    UserError for an experiment with stages of which none is chosen, and for a stage of an experiment without any.
    """
    chosen = [_value(word) for word in overrides if _key(word) == STAGE]
    name = chosen[-1] if chosen and chosen[-1] != "null" else None
    stages = of_experiment(overrides, config_dir)
    if stages is None:
        if name is not None:
            raise UserError("no experiment with stages is chosen", key=STAGE, found=name, fix="add experiments=NAME")
        return list(overrides)
    if name is None:
        names = ", ".join(stages.words)
        raise UserError("this experiment has stages", key=STAGES, expected=f"one of {names}", fix="add stage=NAME")
    return stages.expanded(name, overrides)


def folder_of(stage: str, own_folder: str | None) -> str:
    """Return the run folder of a stage, which is beside the folder of another one; UserError without the latter."""
    if own_folder is None:
        raise UserError(f"the run of the stage {stage} is unknown", key="folder", fix="name this stage's by folder=DIR")
    return str(Path(own_folder).parent / stage)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _value(word: str) -> str:
    return word.partition("=")[2].strip("'\"")
