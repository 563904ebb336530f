"""A role with a network for each domain."""

from collections.abc import Iterable

from torch import nn


class PerDomain(nn.ModuleList):
    """Networks of one kind, one for each domain, in the order of the domains; ``network[2]`` is that of domain 2.

    A step calls the networks of the domains of its batch, ``self.encoder[a](x)``, and updates them alone,
    ``self.update(f"encoder.{a}")``: see `TranslationModel.update`. All of them have one optimizer and one moving
    average, whose parts of other domains are not touched. So the time of an iteration does not depend on the number
    of domains; the memory of weights and moments is proportional to it.
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__(networks)
        assert len(self) > 0, "a network for each domain of the data"
