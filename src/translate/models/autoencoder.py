"""An auto-encoder, as a model of its own: it learns a function of images without labels.

Another run freezes its encoder, as the function f of a domain transfer network for example (docs/dtn.md). The data set
needs neither labels nor domains; with images of both domains the code knows both. Letters: x image, E encoder, z = E(x)
its code, R decoder.

The networks are those of DTN: an encoder whose code is a vector, and its generator as decoder. So the code has no place
for details, unlike one of feature maps.
"""

import torch
from torch import Tensor, nn

from translate.data.batches import HeldOut
from translate.data.views.images import ImageBatch
from translate.inference.autoencoder import AutoencoderTranslation
from translate.inference.grids import Grid
from translate.models.base import TranslationModel
from translate.registry.registry import MODELS

NUM_SAMPLES = 8  # images in a sample grid


@MODELS.register(
    "autoencoder",
    batch="images",
    networks=("encoder", "decoder"),
    losses=("reconstruction",),
    terms={"autoencoder": ("reconstruction",)},
)
class Autoencoder(TranslationModel):
    """An encoder and a decoder, trained together to reconstruct images.

    Its translations are reconstructions, so metrics of content compare them with their sources. ``ema_decay``: null for
    no moving averages.
    """

    progress_terms = ("autoencoder/reconstruction",)
    ema_roles = ("encoder", "decoder")
    double_backward_roles = ()
    inference = AutoencoderTranslation
    target_domains = ("reconstruction",)

    encoder: nn.Module
    decoder: nn.Module

    def step(self, batch: ImageBatch[Tensor]) -> None:
        """Do one iteration: one update of both networks."""
        with self.update("encoder", "decoder") as minimize:
            minimize(self.autoencoder_loss(batch.image))
        self.update_ema()

    def autoencoder_loss(self, x: Tensor) -> Tensor:
        """Return ``L = E[d(R(E(x)), x)]``, with the distance d of the slot ``reconstruction``."""
        reconstruction = self.losses["reconstruction"](self.decoder(self.encoder(x)), x)
        return self.weighted("autoencoder", {"reconstruction": reconstruction})

    @torch.no_grad()
    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return one grid: rows of images and of their reconstructions."""
        x = held_out.image[:NUM_SAMPLES]
        y = self.translate(x, torch.zeros(len(x), dtype=torch.int64, device=x.device))
        return {"reconstructions": Grid([list(x), list(y)], row_labels=("source", "reconstruction"))}
