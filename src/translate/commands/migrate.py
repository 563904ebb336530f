"""The command `migrate`: turn a command line of an official program into ours."""

from dataclasses import dataclass

from translate.commands.arguments import Command, arg
from translate.console import wrapped

WIDTH = 34  # columns of an option


@dataclass(frozen=True)
class Arguments:
    """The command line of the other program."""

    line: tuple[str, ...] = arg(
        (),
        kind="words",
        metavar="python main.py ...",
        help="the official command line, as its own words or as one quoted text",
    )


def run(arguments: Arguments) -> int:
    """Print a table of the options, then our commands; return 0. ConfigError if training would refuse one of them."""
    from translate.doctor.migrate import migrate

    migration = migrate(arguments.line)
    print(f"{migration.project.name}\n")
    for row in migration.rows:
        answer = row.ours or "-"
        text = f"{answer}   ({row.remark})" if row.remark and row.ours else row.remark or answer
        head = f"  {row.option:<{WIDTH}}"
        print(wrapped(head, text) if len(row.option) < WIDTH else f"{head}\n{wrapped(' ' * (WIDTH + 2), text)}")
    print()
    print("\n".join(migration.lines()), flush=True)
    from translate.config.compose import load

    for words in migration.commands:
        if "=" in words[0]:
            load(words, scan=False)
    return 0


COMMAND = Command(
    "migrate",
    "Turn a command line of the official StarGAN v2, StarGAN, CycleGAN or pix2pix into ours.",
    Arguments,
    run,
    examples=(("migrate python train.py --dataroot ./datasets/maps --name maps --model cycle_gan", "CycleGAN"),),
    notes="Words in the table are our overrides. A remark in their place says why an option needs none or has no "
    "counterpart. Official weights are read as they are; they need no conversion. A training command is composed and "
    "checked, but its data is not opened.",
)
