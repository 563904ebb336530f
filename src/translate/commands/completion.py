"""Tab completion in a shell: of commands, of their arguments, and of the values of arguments.

All candidates follow from the declarations of the commands; keys of the configuration come from Hydra.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from translate.commands.arguments import INTERNAL_GROUPS, Argument, Command, Values, arguments_of, convert
from translate.errors import UserError

FLAGS = ("-sc", "--shell-completion")
_INSTALL = r"""_translate_complete()
{
    local line="${COMP_LINE:0:$COMP_POINT}" rest choices
    local -a program
    case "$line" in
        *" -m translate "*) program=("${COMP_WORDS[0]}" -m translate); rest="${line#* -m translate }" ;;
        *translate-gan" "*) program=("${COMP_WORDS[0]}"); rest="${line#*translate-gan }" ;;
        *) return ;;
    esac
    choices=$(COMP_LINE="translate $rest" "${program[@]}" -sc query=bash 2> /dev/null)
    COMPREPLY=($(compgen -W "$choices" -- "${rest##* }"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _translate_complete python python3 translate-gan
"""
_UNINSTALL = "unset -f _translate_complete\ncomplete -r python python3 translate-gan\n"
SCRIPTS = {
    "install=bash": _INSTALL,
    "install=zsh": "autoload -Uz bashcompinit && bashcompinit\n" + _INSTALL,
    "uninstall=bash": _UNINSTALL,
    "uninstall=zsh": _UNINSTALL,
}


def answer(words: Sequence[str], names: Sequence[str], load: Callable[[str], Command[Any]]) -> str:
    """Return the answer to ``-sc ...``: the shell code of ``install=SHELL``, or candidates for the line in COMP_LINE.

    ``names`` are the commands that can be typed, the default one first; ``load`` returns the command of a name.
    """
    request = next((word for word in words if "=" in word), "")
    if request in SCRIPTS:
        return SCRIPTS[request]
    if not request.startswith("query="):
        raise UserError("unknown request", key=FLAGS[0], found=request, known=tuple(SCRIPTS))
    *before, last = os.environ.get("COMP_LINE", "").split(" ")[1:] or [""]
    before = [word for word in before if word]
    if before and before[0] in names:
        return " ".join(sorted(candidates(load(before[0]), before[1:], last)))
    found = {name for name in names if name.startswith(last)} if not before else set()
    return " ".join(sorted(found | candidates(load(names[0]), before, last)))


def candidates(command: Command[Any], before: Sequence[str], last: str) -> set[str]:
    """Return the words that begin with ``last`` and that can follow the words before it."""
    _activate_plugins(before)
    declared = arguments_of(command)
    own = {f"{argument.name}=" for argument in declared if argument.kind == "value"}
    words = set(_own(declared, before, last))
    for rest in declared:
        if rest.kind == "overrides" and f"{last.partition('=')[0]}=" not in own:
            words |= set(_overrides(rest, before, last, command.config_name)) - own
    return {word for word in words if word.startswith(last)}


def _activate_plugins(words: Iterable[str]) -> None:
    from translate.registry import plugins

    for word in words:
        if word.startswith("plugins="):
            with suppress(UserError):  # the command itself reports it
                plugins.activate(convert(tuple[str, ...], word.partition("=")[2]))


def _own(declared: Sequence[Argument], before: Sequence[str], last: str) -> Iterator[str]:
    """Yield the arguments of a command, or the values of the one that is being typed."""
    key, equals, value = last.partition("=")
    given = {word.partition("=")[0] for word in before}
    for argument in declared:
        if argument.kind == "positional" and not equals:
            yield from argument.choices(before)
        elif argument.kind in ("flag", "remainder") and not equals and argument.name not in given:
            yield argument.name
        elif argument.kind == "value" and not equals and (argument.repeat or argument.name not in given):
            yield f"{argument.name}="
        elif argument.kind == "value" and equals and key == argument.name:
            yield from _with_values(key, value, argument.choices(before))


def _overrides(rest: Argument, before: Sequence[str], last: str, config_name: str) -> Iterator[str]:
    """Yield overrides: hints of the declaration, groups and their options, then keys of the configuration."""
    from translate.config.search_path import groups

    key, equals, value = last.partition("=")
    bare = key.lstrip("+~")
    known = {name: options for name, options in groups().items() if name not in INTERNAL_GROUPS}
    known = {name: options for name, options in known.items() if rest.keys is None or name in rest.keys}
    if equals and bare in known:
        yield from _with_values(key, value, known[bare])
        return
    for hint in rest.hints:
        if equals and hint.word == f"{key}=" and hint.values is not None:
            yield from _with_values(key, value, hint.values(before))
            return
    if not equals:
        sign = last[: len(last) - len(last.lstrip("+~"))]
        yield from (hint.word for hint in rest.hints)
        yield from (f"{sign}{name}" if sign == "~" else f"{sign}{name}=" for name in known)
    from translate.config.completion import complete_override

    for word in complete_override(last, [word for word in before if not word.startswith("-")], config_name):
        bare = word.lstrip("+~").rstrip("/=")
        if bare not in known and (rest.keys is None or bare.partition(".")[0] in rest.keys):
            yield word


def _with_values(key: str, value: str, choices: Iterable[str]) -> Iterator[str]:
    """Yield ``key=choice``; in a list such as ``key=[a,`` the entries that can come next."""
    place = max(value.rfind(","), value.rfind("[")) + 1
    yield from (f"{key}={value[:place]}{choice}" for choice in choices)


# --- values of arguments ------------------------------------------------------------------------------------


def run_folders(words: Sequence[str] = ()) -> list[str]:
    """Return the run folders below runs/, where runs are written by default."""
    from translate.runs.folder import run_folders as below_runs

    return [str(folder) for folder in below_runs()]


def places_of_weights(words: Sequence[str] = ()) -> list[str]:
    """Return the weights that ship with the package, and the run folders below runs/."""
    from translate.runs.places import shipped_names

    return [*shipped_names(), *run_folders(words)]


def resumable(words: Sequence[str] = ()) -> list[str]:
    """Return what ``resume=`` can be: auto, or a run folder."""
    return ["auto", *run_folders()]


def checkpoints(words: Sequence[str] = ()) -> list[str]:
    """Return the checkpoints of the run that ``run=`` or ``weights=`` names in the words: last, best and iterations."""
    from translate.runs.folder import BEST, LAST, RunFolder

    named = [word.partition("=")[2] for word in words if word.startswith(("run=", "weights="))]
    folder = RunFolder(named[-1]) if named else None
    if folder is None:
        return [LAST, BEST]
    best = [BEST] if folder.best_checkpoint.is_file() else []
    return [LAST, *best, *map(str, folder.checkpoints())]


def options(group: str) -> Values:
    """Return the function that lists the options of a group of the configuration."""

    def names(words: Sequence[str] = ()) -> list[str]:
        from translate.config.search_path import groups

        return list(groups().get(group, ()))

    return names
