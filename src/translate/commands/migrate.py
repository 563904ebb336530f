"""The command `migrate`: turn a command line of an official program into ours."""

from dataclasses import dataclass

from translate.commands.arguments import Command, arg
from translate.console import wrapped
from translate.errors import UserError

WIDTH = 34  # columns of an option


@dataclass(frozen=True)
class Arguments:
    """The command line of the other program."""

    quoted: tuple[str, ...] = arg(
        (), kind="positional", metavar="'COMMAND LINE'", help="the official command line, as one quoted text"
    )
    line: tuple[str, ...] = arg(
        (),
        name="--",
        kind="remainder",
        metavar="python main.py ...",
        help="the official command line, as its own words",
    )


def run(arguments: Arguments) -> int:
    """Print a table of the options, then our commands; return 0."""
    from translate.doctor.migrate import migrate

    if bool(arguments.quoted) == bool(arguments.line) or len(arguments.quoted) > 1:
        raise UserError(key="migrate", expected="one official command line: migrate -- python main.py --mode train ...")
    migration = migrate(arguments.line or arguments.quoted)
    print(f"{migration.project.name}\n")
    for row in migration.rows:
        answer = row.ours or "-"
        text = f"{answer}   ({row.remark})" if row.remark and row.ours else row.remark or answer
        head = f"  {row.option:<{WIDTH}}"
        print(wrapped(head, text) if len(row.option) < WIDTH else f"{head}\n{wrapped(' ' * (WIDTH + 2), text)}")
    print()
    print("\n".join(migration.lines()))
    return 0


COMMAND = Command(
    "migrate",
    "Turn a command line of the official StarGAN v2, StarGAN, CycleGAN or pix2pix into ours.",
    Arguments,
    run,
    examples=(("migrate -- python train.py --dataroot ./datasets/maps --name maps --model cycle_gan", "CycleGAN"),),
    notes="Words in the table are our overrides. A remark in their place says why an option needs none or has no "
    "counterpart. Official weights are read as they are; they need no conversion.",
)
