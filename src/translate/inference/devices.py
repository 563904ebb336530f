"""Choose the device on which networks run."""

import torch

from translate.errors import UserError, first_line

NAMES = ("auto", "cpu", "cuda", "mps")
"""Devices that a user can name; a number can follow, as in cuda:1."""


def chosen_device(device: str | torch.device) -> torch.device:
    """Return a device by name; "auto" is a GPU if there is one. UserError for a device that cannot be used here."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise UserError("unknown device", key="device", found=str(device), known=NAMES) from error
    try:
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error)
        raise UserError(f"this device cannot be used here ({reason})", key="device", found=str(device)) from error
    return chosen
