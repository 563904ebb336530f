"""Translation by DCLGAN: one generator for each direction, as CycleGAN's."""

from translate.inference.cyclegan import CycleGANTranslation
from translate.registry.registry import TRANSLATIONS


@TRANSLATIONS.register("dclgan")
class DCLGANTranslation(CycleGANTranslation):
    """Two generators without batch norms; see `CycleGANTranslation`."""
