"""Turn a command line of the official code of StarGAN v2, StarGAN, CycleGAN or pix2pix into ours, option by option."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from translate.doctor.official import command_line, cyclegan, stargan_v1, stargan_v2
from translate.doctor.official.builder import Builder, Project, Row, quoted
from translate.doctor.official.command_line import CommandLine
from translate.errors import UserError

PROGRAM = ("python", "-m", "translate")
CLOSE = 0.8  # of 1: how alike an unknown option and the nearest one are
PROJECTS = (stargan_v2.PROJECT, stargan_v1.PROJECT, cyclegan.PROJECT)


@dataclass
class Migration:
    """The rows of a command line, and the commands that take its place."""

    project: Project
    rows: list[Row] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)  # words behind the program
    variables: tuple[str, ...] = ()  # before each command

    def lines(self) -> list[str]:
        """Return the commands as lines for a shell."""
        return [" ".join(map(quoted, [*self.variables, *PROGRAM, *words])) for words in self.commands]


def migrate(words: Sequence[str]) -> Migration:
    """Return the migration of a command line; UserError if it is not one of a known project."""
    line = command_line.read(words)
    project = _project(line)
    options = command_line.options(project.options, line.words)
    for name, option in project.options.items():
        if option.required and name not in options.given:
            raise UserError("the official program needs this option", key=name, known=option.choices or None)
    build = Builder(project.options, options.given, line)
    build.rows += [Row(written, "", "a later value of this option replaces it") for written in options.replaced]
    project.build(build)
    rows = [*_of_variables(line), *build.rows]
    rows += [Row(written, "", _of_unknown(project, written)) for written in options.unknown]
    rows += [Row(other, "", "a further command, which is not read") for other in line.others]
    return Migration(project, rows, build.commands, line.variables)


def _of_variables(line: CommandLine) -> list[Row]:
    return [Row(variable, variable, "stands before our command, too") for variable in line.variables]


def _of_unknown(project: Project, written: str) -> str:
    meant = get_close_matches(written.partition(" ")[0], project.options, 1, CLOSE)
    return "not an option of this project" + (f"; the nearest one is {meant[0]}" if meant else "")


def _project(line: CommandLine) -> Project:
    """Return the project that has the script and knows most of the options, those of its own counting most.

    Two projects have a main.py. Where no option tells them apart, the folder of the script does.
    """
    candidates = [project for project in PROJECTS if line.script_name in project.scripts]
    if not candidates:
        scripts = sorted({name for project in PROJECTS for name in project.scripts})
        raise UserError("unknown script", key="migrate", found=line.script_name, known=scripts)
    names = command_line.names(line.words)

    def score(project: Project) -> tuple[int, int]:
        others = [other for other in candidates if other is not project]
        own = [name for name in names if _knows(project, name)]
        alone = sum(not any(_knows(other, name) for other in others) for name in own)
        folder = f"/{line.script}".lower().rpartition("/")[0]
        return len(own) + alone, int(folder.endswith(f"/{project.name.partition('/')[2]}".lower()))

    ranking = sorted(candidates, key=score, reverse=True)
    if len(ranking) > 1 and score(ranking[0]) == score(ranking[1]):
        first, second = (project.name for project in ranking[:2])
        folder = first.partition("/")[2]
        raise UserError(
            f"these options are those of {first} and of {second}",
            key="migrate",
            found=line.script,
            expected="a script of one of them",
            fix=f"write the folder of the script: {folder}/{line.script_name}",
        )
    return ranking[0]


def _knows(project: Project, name: str) -> bool:
    return any(name in (full, *option.older) or (name[2:] and full.startswith(name))
               for full, option in project.options.items())  # fmt: skip
