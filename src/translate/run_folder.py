"""How a run folder is known: by the configuration that lies in it."""

from pathlib import Path

from translate.errors import UserError

CONFIG_FILE = "config.yaml"


def config_file(folder: Path, command: str) -> Path:
    """Return the configuration file of a run folder that a command was given, or raise UserError."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise UserError(
            f"{command}: {folder} is not a run folder, it holds no {CONFIG_FILE}; expected runs/<name>/<time>"
        )
    return path
