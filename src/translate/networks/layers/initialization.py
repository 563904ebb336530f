"""Weight initialisations that the papers name."""

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Initialise one convolution or linear layer as in He et al. 2015, for use with ``Module.apply``.

    Weights are normal with variance ``2 / fan_in``, biases are zero. Other layers are not changed.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def dcgan_normal(module: nn.Module) -> None:
    """Initialise one convolution or batch norm as in Radford et al. 2016 (DCGAN), for use with ``Module.apply``.

    Weights are normal with standard deviation 0.02, with mean 0 in convolutions and mean 1 in batch norms. Biases are
    zero. Other layers are not changed.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def xavier_normal(module: nn.Module) -> None:
    """Initialise one convolution or linear layer as in Glorot and Bengio 2010, times 0.02, for ``Module.apply``.

    Weights are normal with deviation ``0.02 sqrt(2 / (fan_in + fan_out))``, biases are zero (the official code of CUT).
    Other layers are not changed.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_normal_(module.weight, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
