"""Losses as pure functions of tensors; each names its formula and source."""

from translate.losses import adversarial, penalties, reconstruction

__all__ = ["adversarial", "penalties", "reconstruction"]
