"""Sample grids of models between two domains: one grid for each direction."""

from collections.abc import Callable, Mapping

from torch import Tensor

from translate.data.batches import HeldOut
from translate.inference.grids import Grid
from translate.inference.unit import SIDES, UNITTranslation

NUM_SAMPLES = 8  # images of a domain in a sample grid

Rows = Callable[[Tensor, Tensor, str, str], Mapping[str, Tensor]]
"""Returns rows of images by label, given images, the domain of each, and the names of that domain and of the other."""


def direction_grids(held_out: HeldOut, rows: Rows) -> dict[str, Grid]:
    """Return the grids "a_to_b" and "b_to_a", whose columns are held-out images of the first and the second domain."""
    grids = {}
    for domain, name in enumerate(("a_to_b", "b_to_a")):
        x = held_out.image[held_out.domain == domain][:NUM_SAMPLES]
        own = held_out.domain.new_full((len(x),), domain)
        grids[name] = Grid.of_rows(rows(x, own, held_out.domains[domain], held_out.domains[1 - domain]))
    return grids


def autoencoder_grids(held_out: HeldOut, translation: UNITTranslation) -> dict[str, Grid]:
    """Return grids with rows of sources, reconstructions, translations and translations back."""

    def rows(x: Tensor, own: Tensor, source: str, target: str) -> dict[str, Tensor]:
        translated = translation(x, 1 - own)
        return {
            source: x,
            "reconstruction": translation.reconstruct(x, SIDES[held_out.domains.index(source)]),
            f"to {target}": translated,
            "and back": translation(translated, own),
        }

    return direction_grids(held_out, rows)
