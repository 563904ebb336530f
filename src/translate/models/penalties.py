"""The gradient penalties of a discriminator's update, and its loss on spoilt real images: those that have a weight.

They are "r1" of real images, "r2" of fake ones, "zero_centred" and "gradient_penalty" of images between them, and
"noisy", the adversarial loss that takes real images with noise for fake ones. A model lists them among the terms of its
phase ``discriminator``, and writes::

    (real_logits, fake_logits), penalties = self.penalties.evaluate(
        lambda real, fake: forward_together(discriminator, real, fake), real, fake, between=discriminator
    )
    terms = self.adversarial.discriminator_terms(real_logits, fake=fake_logits) | penalties

A term without a weight costs nothing: neither a forward nor a backward pass.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from translate.data.streams import Stream
from translate.losses.noisy_images import LARGEST, NUM_DRAWS, with_noise
from translate.losses.penalties import (
    Logits,
    WithInputGradients,
    distance_of_norm,
    interpolate,
    squared_norm,
    total_of_means,
    total_of_sums,
    with_input_gradients,
)

if TYPE_CHECKING:
    from translate.models.base import TranslationModel

BETWEEN = {"zero_centred": (total_of_means, squared_norm), "gradient_penalty": (total_of_sums, distance_of_norm)}
TERMS = ("r1", "r2", *BETWEEN, "noisy")

COLUMNS = 4  # of the discriminators of an iteration with one number, see `Penalties.evaluate`


class Penalties:
    """The gradient penalties, and the loss on noisy images, of a model's phase ``discriminator``.

    ``every`` has the terms that are computed in one of so many iterations only, see `TranslationModel.weighted`.
    """

    with_input_gradients: WithInputGradients
    """How the discriminator is differentiated with respect to images; acceleration may exchange it."""

    def __init__(self, model: "TranslationModel", every: Mapping[str, int] | None = None) -> None:
        self.model = model
        self.every = dict(every or {})
        self.with_input_gradients = with_input_gradients

    def is_due(self, term: str) -> bool:
        """Return whether a term is computed in this iteration."""
        due = self.model.iteration % self.every.get(term, 1) == 0
        return due and self.model.is_active("discriminator", term)

    def due(self) -> tuple[str, ...]:
        """Return the terms that are computed in this iteration."""
        return tuple(term for term in TERMS if self.is_due(term))

    def evaluate(
        self,
        function: Callable[..., Sequence[Any]],
        real: Tensor,
        *fakes: Tensor,
        between: Callable[[Tensor], Logits],
        of_real: Callable[[Tensor], Logits] | None = None,
        number: int = 0,
        column: int = 0,
    ) -> tuple[Any, dict[str, Tensor]]:
        """Return the outputs of ``function(real, *fakes)``, and the terms that are due, by name.

        ``function`` receives the images (B, 3, S, S) without their history. Its first outputs are their logits, in the
        order of the images; others may follow. ``between`` returns the logits of images between, and ``of_real`` those
        of spoilt real images, where these have conditions of their own; null: alike. With several kinds of fake images
        a penalty is the mean over them. ``number`` and ``column`` give independent draws of the images
        between, one column for each kind, see `TranslationModel.interpolation_weights`.
        """
        images = [batch.detach() for batch in (real, *fakes)]
        due = ["r1"] * self.is_due("r1") + ["r2"] * len(fakes) * self.is_due("r2")
        terms: dict[str, list[Tensor]] = {}
        if due:
            chosen = range(len(images))[0 if self.is_due("r1") else 1 :][: len(due)]
            outputs, (gradients,) = self.with_input_gradients(function, images, list(chosen), [total_of_means])
            for name, gradient in zip(due, gradients, strict=True):
                terms.setdefault(name, []).append(squared_norm(gradient))
        else:
            outputs = function(*images)
        measures = {name: each for name, each in BETWEEN.items() if self.is_due(name)}
        if measures:
            totals = [total for total, _ in measures.values()]
            for kind, fake in enumerate(images[1:]):
                weights = self.model.interpolation_weights(number, len(real), column + kind)
                mixed = interpolate(images[0], fake, weights)
                _, gradients = self.with_input_gradients(lambda x: (between(x),), [mixed], [0], totals)
                for (name, (_, measure)), (gradient,) in zip(measures.items(), gradients, strict=True):
                    terms.setdefault(name, []).append(measure(gradient))
        if self.is_due("noisy"):
            logits = (of_real or between)(self.noisy(images[0], number, column))
            fake_terms = self.model.losses["adversarial"].discriminator_terms(outputs[0], fake=logits)
            terms["noisy"] = [fake_terms["fake"]]
        return outputs, {name: each[0] if len(each) == 1 else torch.stack(each).mean() for name, each in terms.items()}

    def noisy(self, real: Tensor, number: int, column: int, largest: float = LARGEST) -> Tensor:
        """Return real images with noise; ``number`` and ``column`` give independent draws, see `evaluate`."""
        number = COLUMNS * number + column
        draws = self.model.uniform_draws(Stream.SPOILT, number, len(real), NUM_DRAWS)
        return with_noise(real, self.model.normal_noise(real, number), draws, largest)
