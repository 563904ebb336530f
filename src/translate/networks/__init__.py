"""Networks, each a plain ``torch.nn.Module`` that is built from plain keyword arguments."""

from translate.networks import stargan_v2

__all__ = ["stargan_v2"]
