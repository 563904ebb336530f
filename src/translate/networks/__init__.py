"""Networks, each a plain ``torch.nn.Module`` that is built from plain keyword arguments."""

from translate.networks import conditions, patch, resnet, small_conv, stargan_v1, stargan_v2, unet

__all__ = ["conditions", "patch", "resnet", "small_conv", "stargan_v1", "stargan_v2", "unet"]
