"""Models: one file an algorithm, each a Lightning module on the vocabulary of ``base``."""

from translate.models import stargan_v2

__all__ = ["stargan_v2"]
