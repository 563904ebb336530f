"""The texts of ``--help`` and of ``COMMAND -h``, derived from the declarations of the commands."""

from collections.abc import Sequence
from typing import Any

from translate.commands.arguments import INTERNAL_GROUPS, Argument, Command, arguments_of
from translate.console import wrapped
from translate.errors import NOTHING

PROGRAM = "python -m translate"
DEFAULT = "train"
"""The command that runs if a command line names none."""

HEAD_WIDTH = 28  # columns of an argument's name

EXAMPLES = (
    ("", "train StarGAN v2 on the built-in data"),
    ("data=folder data.root=photos", "train on your images, one folder per domain"),
    ("trainer=ddp trainer.devices=8", "train on eight GPUs"),
    ("-m seed=0,1,2", "train three times, each in its own process"),
    ("resume=auto", "continue the newest unfinished run"),
    ("show data.image_size=128", "print the configuration without training"),
)


def usage(command: Command[Any]) -> str:
    """Return the command line of a command in short; optional arguments are in brackets."""
    forms = [argument.form if argument.required else f"[{argument.form}]" for argument in arguments_of(command)]
    return " ".join([PROGRAM, f"[{command.name}]" if command.name == DEFAULT else command.name, *forms])


def help_text(command: Command[Any]) -> str:
    """Return the text of ``COMMAND -h``."""
    lines = [wrapped("usage: ", usage(command)), "", command.summary]
    declared = sorted(arguments_of(command), key=lambda argument: bool(argument.section))
    section: str | None = None
    for argument in declared:
        if argument.section != section:
            section = argument.section
            lines += ["", f"arguments for {section}" if section else "arguments"]
        lines.append(_entry(argument.form, f"{argument.help}{_default(argument)}{_known(argument)}"))
        lines += [_entry(f"{hint.word}{hint.metavar}", hint.help) for hint in argument.hints]
    if any(argument.kind == "overrides" and argument.listed for argument in declared):
        lines += ["", "groups, chosen by group=name", *_groups()]
    if command.examples:
        lines += ["", "examples"]
        lines += [f"  {PROGRAM} {words}".rstrip() + f"\n      {purpose}" for words, purpose in command.examples]
    if command.notes:
        lines += ["", *(wrapped("", line) for line in command.notes.splitlines())]
    return "\n".join(lines)


def overview(commands: Sequence[Command[Any]], version: str) -> str:
    """Return the text of ``--help``: a line for each command, and examples of the default one."""
    shown = [command for command in commands if not command.hidden]
    width = max(len(command.name) for command in shown)
    return "\n".join(
        [
            f"translate {version}: image-to-image translation with generative adversarial networks",
            f"\nusage: {PROGRAM} [command] [key=value ...]",
            "\ncommands",
            *(f"  {command.name:<{width}}  {command.summary}" for command in shown),
            "\nexamples",
            *(f"  {f'{PROGRAM} {words}'.rstrip():<58}  {purpose}" for words, purpose in EXAMPLES),
            f"\nThe default command is {DEFAULT}. '{PROGRAM} COMMAND -h' prints the arguments of a command.",
            f"Hydra defines overrides, groups, sweeps (-m), --cfg, --info and -cd: '{PROGRAM} --hydra-help'.",
            f'For tab completion in bash or zsh: eval "$({PROGRAM} -sc install=bash)"',
        ]
    )


def _entry(head: str, text: str) -> str:
    if len(head) + 2 < HEAD_WIDTH:
        return wrapped(f"  {head:<{HEAD_WIDTH - 2}}", text)
    return f"  {head}\n{wrapped(' ' * HEAD_WIDTH, text)}"


def _default(argument: Argument) -> str:
    value = argument.default_value()
    if argument.kind != "value" or argument.repeat or value in (NOTHING, None, ()):
        return ""
    return f"; default {str(value).lower() if isinstance(value, bool) else value}"


def _known(argument: Argument) -> str:
    listed = argument.listed and argument.kind != "overrides"
    return f". Known: {', '.join(argument.choices()) or 'none'}" if listed else ""


def _groups() -> list[str]:
    from translate.config.search_path import groups

    known = {name: tuple(options) for name, options in groups().items() if name not in INTERNAL_GROUPS}
    width = max(map(len, known))
    return [wrapped(f"  {name:<{width}}  ", ", ".join(options) or "none") for name, options in known.items()]
