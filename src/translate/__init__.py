"""Image-to-image translation with generative adversarial networks: train, measure, compare and use."""

__version__ = "0.1.0"
