"""Weight initialisations named by the papers."""

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Fill one convolution or linear layer as He et al. 2015 do, for use with ``Module.apply``.

    Weights are normal with variance ``2 / fan_in``, biases are zero; other layers are left alone.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def dcgan_normal(module: nn.Module) -> None:
    """Fill one convolution or batch norm as Radford et al. 2016 (DCGAN) do, for use with ``Module.apply``.

    Weights of convolutions are normal with mean 0, those of batch norms with mean 1, all with a standard deviation of
    0.02; biases are zero; other layers are left alone.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
