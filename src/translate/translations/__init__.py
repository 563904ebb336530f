"""Translations: what a model does once it has learned, on torch alone, registered by the model's name.

A model's ``translate`` and ``translate.load`` both use what is here, so both give the same images, and the second needs
neither Lightning nor Hydra.
"""

from translate.translations import cyclegan, pix2pix, stargan_v1, stargan_v2

__all__ = ["cyclegan", "pix2pix", "stargan_v1", "stargan_v2"]
