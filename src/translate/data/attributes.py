"""Facts about the attributes of CelebA; torch is not imported."""

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
"""Attributes of which at most one is true."""
