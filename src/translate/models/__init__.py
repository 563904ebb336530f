"""Models: one file an algorithm, each a Lightning module on the vocabulary of ``base``."""

from translate.models import cyclegan, pix2pix, stargan_v1, stargan_v2

__all__ = ["cyclegan", "pix2pix", "stargan_v1", "stargan_v2"]
