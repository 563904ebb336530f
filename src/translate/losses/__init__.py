"""Losses as pure functions of tensors; each names its formula and source."""

from translate.losses import adversarial, classification, penalties, reconstruction

__all__ = ["adversarial", "classification", "penalties", "reconstruction"]
