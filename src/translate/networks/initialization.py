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
