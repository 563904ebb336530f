"""Commands as functions of Python: the same words, as texts or as keyword arguments."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from translate import signals
from translate.doctor import missing_libraries
from translate.errors import Phrase, UserError

PROGRAM = Path(__file__).parents[1] / "__main__.py"


class RunFailed(RuntimeError):
    """A training run that ended without a result: ``folder`` is its run folder, ``code`` the exit code."""

    def __init__(self, folder: Path, code: int) -> None:
        super().__init__(f"the run in {folder} stopped with exit code {code}; log.txt there has the reason")
        self.folder, self.code = folder, code


@missing_libraries.required()
def train(*words: str, **settings: Any) -> Path:
    """Train a model as ``python -m translate`` does, and return the run folder.

    ``words`` are those of the command line, such as ``"model.weights.generator.style=2"``. ``settings`` are the same as
    keyword arguments, nested mappings for keys with dots: ``train(model="cyclegan", data={"name": ...})`` reads as
    ``model=cyclegan data.name=...``. UserError for settings that do not fit, before anything is written; RunFailed if
    the run stops before its end. Of an experiment with stages, all are trained, and the folder is that of the last.
    """
    from translate.config.command_line import parse, single_run, stages_of

    line = parse(words_of(words, settings))
    if (stages := stages_of(line)) is not None:
        from translate.sweeps.stages import launch

        outcome = launch(line, stages)
        return _ended(outcome.folder, outcome.code)
    if not line.is_single_run():
        raise UserError("only a single run can be trained by this function", key="train", fix="python -m translate -m")
    ready = single_run(line)
    from translate.commands.train import joined_by_others
    from translate.training import run

    with signals.handled(ends_process=False) as end, joined_by_others(ready, str(PROGRAM)):
        end.code = run.train(
            ready.config, ready.folder, ready.resume_from, ready.overrides, ready.datasets, line.words, ready.of_length
        )
    return _ended(ready.folder, end.code)


def _ended(folder: Path, code: int) -> Path:
    """Return the folder of a run that ended well; RunFailed or KeyboardInterrupt after another end."""
    if code == 128 + 2:
        raise KeyboardInterrupt
    if code != 0:
        raise RunFailed(folder, code)
    return folder


@missing_libraries.required()
def evaluate(run: str | Path, *words: str, **settings: Any) -> dict[str, dict[str, float]]:
    """Evaluate a run as ``python -m translate evaluate`` does; return the scores of each protocol by name.

    ``words`` and ``settings`` are those of the command: ``evaluate(folder, "metrics=[clean]", checkpoint="best")``. The
    scores are written into the run folder as well.
    """
    from translate.commands.arguments import parse
    from translate.commands.evaluate import COMMAND, results_of

    arguments = parse(COMMAND, [f"run={run}", *words_of(words, settings)])
    return {result.request.protocol: dict(result.scores) for result in results_of(arguments)}


def words_of(words: tuple[str, ...], settings: Mapping[str, Any]) -> list[str]:
    """Return words, and settings as words in Hydra's grammar.

    >>> words_of(("seed=3",), {"data": {"image_size": 64, "domains": ["cat", "a b"]}, "resume": None})
    ['seed=3', 'data.image_size=64', "data.domains=[cat,'a b']", 'resume=null']
    """
    for word in words:
        if not isinstance(word, str):
            raise UserError("words are texts", key="words", found=word, expected="'key=value', or keyword arguments")
    return [*words, *_flat(settings, "")]


def _flat(settings: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield f"{name}={_text(value, name)}"


def _text(value: Any, name: str) -> str:
    """Return a value as a word of the command line has it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(_text(entry, name) for entry in value)}]"
    if isinstance(value, str | Path):
        text = str(value)
        plain = text and all(sign.isalnum() or sign in "/_-.:@%+~*?" for sign in text)
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return text if plain else f"'{escaped}'"
    raise UserError(
        key=name, found=Phrase(type(value).__name__), expected="a text, number, truth value, list or mapping"
    )
