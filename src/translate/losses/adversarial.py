"""Adversarial losses on logits.

An adversarial loss is an object with two methods, see `AdversarialLoss`: the terms of the discriminator's loss, and the
generator's loss. Most losses are functions of one image's logit, see `Unpaired`. A paired loss compares the i-th real
image with the i-th fake one, so the generator's loss depends on real images too. Each term is the mean over all logits,
in float32 at least.

Letters: D discriminator, G generator, x real image, E mean over the logits of a batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.errors import Phrase, UserError
from translate.losses.precision import precise
from translate.registry.registry import LOSSES

Logits = Tensor | Sequence[Tensor]
"""Logits of one map (B, ...), or of several maps, such as those of several scales."""


class AdversarialLoss(Protocol):
    """The interface of a loss in the slot ``adversarial`` of a model.

    ``paired`` says whether the loss compares the i-th real image with the i-th fake one. A model with conditions then
    gives both the same condition, so that the loss compares logits of one condition.
    """

    paired: bool

    def discriminator_terms(self, real: Any, **fakes: Any) -> dict[str, Tensor]:
        """Return the terms of the discriminator's loss by name: "real", and the names of the ``fakes``.

        ``real`` are the logits of real images, ``fakes`` those of one or several kinds of images that are not real.
        """
        ...

    def generator_term(self, fake: Any, real: Callable[[], Any]) -> Tensor:
        """Return the generator's loss for the logits of its fake images.

        ``real`` returns the logits of real images. A loss that does not depend on them does not call it. They are a
        constant: no gradient passes through them.
        """
        ...


class Unpaired(ABC):
    """Base of the losses that are a function of each logit alone: three methods on logits of any shape."""

    paired: ClassVar[bool] = False

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss for the logits of real images."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss for the logits of fake images."""

    @abstractmethod
    def generator(self, logits: Tensor) -> Tensor:
        """Return the generator's loss for the logits of its fake images."""

    def discriminator_terms(self, real: Tensor, **fakes: Tensor) -> dict[str, Tensor]:
        """Return the loss of the real images and of each kind of fake images, see `AdversarialLoss`."""
        return {"real": self.real(real), **{name: self.fake(logits) for name, logits in fakes.items()}}

    def generator_term(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        """Return the generator's loss; the real images are not read, see `AdversarialLoss`."""
        del real
        return self.generator(fake)


@LOSSES.register("non_saturating")
class NonSaturating(Unpaired):
    """Cross-entropy, non-saturating for the generator (Goodfellow et al. 2014, section 3; StarGAN v2, eq. 1).

    ``L_D = E[softplus(-D(x))] + E[softplus(D(G))]`` and ``L_G = E[softplus(-D(G))]``, where
    ``softplus(-D) = -log sigmoid(D)``. The official code of pix2pix calls this loss vanilla.

    >>> import torch
    >>> round(NonSaturating().real(torch.zeros(1)).item(), 4)
    0.6931
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(-D(x))]``."""
        return F.softplus(-precise(logits)).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(D(G))]``."""
        return F.softplus(precise(logits)).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``E[softplus(-D(G))]``."""
        return F.softplus(-precise(logits)).mean()


@LOSSES.register("least_squares")
class LeastSquares(Unpaired):
    """Squared distances to 1 for real and 0 for fake images (LSGAN, Mao et al. 2017, eq. 9; CycleGAN, section 4).

    ``L_D = E[(D(x) - 1)^2] + E[D(G)^2]`` and ``L_G = E[(D(G) - 1)^2]``. The papers' factor 1/2 of L_D is set by the
    weights of its terms.

    >>> import torch
    >>> logits = torch.tensor([1.0, 3.0])
    >>> [side(logits).item() for side in (LeastSquares().real, LeastSquares().fake, LeastSquares().generator)]
    [2.0, 5.0, 2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``E[(D(x) - 1)^2]``."""
        return (precise(logits) - 1).square().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[D(G)^2]``."""
        return precise(logits).square().mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``E[(D(G) - 1)^2]``."""
        return (precise(logits) - 1).square().mean()


@LOSSES.register("wasserstein")
class Wasserstein(Unpaired):
    """Scores of a critic, without a squashing function (Arjovsky et al. 2017, eq. 2; StarGAN v1, eq. 8).

    ``L_D = -E[D(x)] + E[D(G)]`` and ``L_G = -E[D(G)]``. This loss needs a gradient penalty on the critic.

    >>> import torch
    >>> scores = torch.tensor([1.0, 3.0])
    >>> [side(scores).item() for side in (Wasserstein().real, Wasserstein().fake, Wasserstein().generator)]
    [-2.0, 2.0, -2.0]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``-E[D(x)]``."""
        return -precise(logits).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[D(G)]``."""
        return precise(logits).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``-E[D(G)]``."""
        return -precise(logits).mean()


@LOSSES.register("probability_difference")
class ProbabilityDifference(Unpaired):
    """Differences of probabilities, without a logarithm (leftthomas/SRGAN).

    With ``P = sigmoid(D)``: ``L_D = 1 - E[P(x)] + E[P(G)]`` and ``L_G = 1 - E[P(G)]``. No paper has this loss.

    >>> import torch
    >>> logits = torch.zeros(1)
    >>> loss = ProbabilityDifference()
    >>> [side(logits).item() for side in (loss.real, loss.fake, loss.generator)]
    [0.5, 0.5, 0.5]
    """

    def real(self, logits: Tensor) -> Tensor:
        """Return ``1 - E[P(x)]``."""
        return 1 - precise(logits).sigmoid().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[P(G)]``."""
        return precise(logits).sigmoid().mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``1 - E[P(G)]``."""
        return 1 - precise(logits).sigmoid().mean()


@LOSSES.register("hinge")
class Hinge(Unpaired):
    """Hinges at 1 and -1 (Lim and Ye 2017, eq. 9; SAGAN, Zhang et al. 2019, eq. 4).

    ``L_D = E[max(0, 1 - D(x))] + E[max(0, 1 + D(G))]`` and ``L_G = -E[D(G)]``. Logits beyond the hinges have no
    gradient in L_D. Without a gradient penalty, this loss is common with spectrally normalised discriminators.
    ``hinged_generator``: ``L_G = E[max(0, 1 - D(G))]``, as in the official code of DCLGAN.

    >>> import torch
    >>> logits = torch.tensor([-3.0, 0.0, 3.0])
    >>> [round(side(logits).item(), 4) for side in (Hinge().real, Hinge().fake, Hinge().generator)]
    [1.6667, 1.6667, -0.0]
    >>> round(Hinge(hinged_generator=True).generator(logits).item(), 4)
    1.6667
    """

    def __init__(self, hinged_generator: bool = False) -> None:
        self.hinged_generator = hinged_generator

    def real(self, logits: Tensor) -> Tensor:
        """Return ``E[max(0, 1 - D(x))]``."""
        return F.relu(1 - precise(logits)).mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return ``E[max(0, 1 + D(G))]``."""
        return F.relu(1 + precise(logits)).mean()

    def generator(self, logits: Tensor) -> Tensor:
        """Return ``-E[D(G)]``, or ``E[max(0, 1 - D(G))]``."""
        return self.real(logits) if self.hinged_generator else -precise(logits).mean()


@LOSSES.register("relativistic")
class Relativistic:
    """Cross-entropy of the difference of paired logits (Jolicoeur-Martineau 2019; R3GAN, Huang et al. 2024, eq. 3).

    ``L_D = E[softplus(-(D(x) - D(G)))]`` and ``L_G = E[softplus(-(D(G) - D(x)))]``, with the i-th logit of the real
    images against the i-th of the fake ones, and with D(x) a constant in L_G. R3GAN adds the penalties `r1` and `r2`
    in every iteration.

    The discriminator's terms have the value of L_D each. Through the term "real" the gradient reaches D(x) alone,
    through the term of the fake images D(G) alone, so their sum has the gradient of L_D, and the weights of both terms
    have the meaning that they have for unpaired losses. With several kinds of fake images the term "real" is the mean
    of its values.

    >>> import torch
    >>> real, fake = torch.tensor([2.0, 1.0]), torch.tensor([2.0, 1.0])
    >>> terms = Relativistic().discriminator_terms(real, fake=fake)
    >>> {name: round(term.item(), 4) for name, term in terms.items()}
    {'real': 0.6931, 'fake': 0.6931}
    >>> round(Relativistic().generator_term(fake, lambda: real + 1).item(), 4)  # softplus(1)
    1.3133
    """

    paired: ClassVar[bool] = True

    def discriminator_terms(self, real: Tensor, **fakes: Tensor) -> dict[str, Tensor]:
        """Return ``E[softplus(-(D(x) - D(G)))]`` twice: with the gradient to D(x), and to D(G); see the class."""
        of_real = [self.pair(real, logits.detach()) for logits in fakes.values()]
        terms = {name: self.pair(real.detach(), logits) for name, logits in fakes.items()}
        return {"real": torch.stack(of_real).mean(), **terms}

    def generator_term(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        """Return ``E[softplus(-(D(G) - D(x)))]``; ``real`` is called without gradients."""
        with torch.no_grad():
            constant = real()
        return self.pair(fake, constant)

    def pair(self, higher: Tensor, lower: Tensor) -> Tensor:
        """Return ``E[softplus(-(higher - lower))]``; UserError for logits of different shapes."""
        higher, lower = precise(higher), precise(lower)
        if higher.shape != lower.shape:
            raise UserError(
                "a paired loss compares equally many logits",
                found=Phrase(f"logits of the shapes {tuple(higher.shape)} and {tuple(lower.shape)}"),
            )
        return F.softplus(lower - higher).mean()


@LOSSES.register("ternary")
class Ternary:
    """Cross-entropy of a discriminator with three classes (DTN, Taigman et al. 2017, eqs. 3 and 4).

    Classes: 0 translations of the source domain s, 1 translations of the target domain t, 2 real images of the target
    domain. With G the translation and ``D_k`` the probability of class k:
    ``L_D = -E_s[log D_0(G(s))] - E_t[log D_1(G(t))] - E_t[log D_2(t)]`` and
    ``L_G = -E_s[log D_2(G(s))] - E_t[log D_2(G(t))]``. Logits are (B, 3).

    >>> import torch
    >>> logits = torch.tensor([[0.0, 0.0, 1000.0]])
    >>> terms = Ternary().discriminator_terms(real=logits, source=logits, target=logits)
    >>> {name: abs(term.item()) for name, term in terms.items()}
    {'source': 1000.0, 'target': 1000.0, 'real': 0.0}
    """

    paired: ClassVar[bool] = False

    def discriminator_terms(self, real: Tensor, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``-E_s[log D_0(G(s))]``, ``-E_t[log D_1(G(t))]`` and ``-E_t[log D_2(t)]``."""
        return {"source": self.source(source), "target": self.target(target), "real": self.real(real)}

    def generator_term(self, fake: Tensor, real: Callable[[], Tensor]) -> Tensor:
        """Return ``-E[log D_2(G)]`` of the translations of either domain; the real images are not read."""
        del real
        return self.generator(fake)

    def source(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_s[log D_0(G(s))]``."""
        return self._of_class(logits, 0)

    def target(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_t[log D_1(G(t))]``."""
        return self._of_class(logits, 1)

    def real(self, logits: Tensor) -> Tensor:
        """Return the discriminator's loss ``-E_t[log D_2(t)]``."""
        return self._of_class(logits, 2)

    def generator(self, logits: Tensor) -> Tensor:
        """Return the generator's loss ``-E[log D_2(G)]`` of the translations of either domain."""
        return self._of_class(logits, 2)

    def log_odds(self, logits: Tensor) -> Tensor:
        """Return ``log(D_2 / (1 - D_2))`` of each image (B,), the one number by which D trains the generator.

        ``L_G = E[softplus(-log_odds)]``, so gradient penalties of this number mean what they do for one logit.

        >>> logits = torch.tensor([[1.0, 1.0, 2.0]])
        >>> odds = Ternary().log_odds(logits)
        >>> torch.allclose(F.softplus(-odds).mean(), Ternary().generator(logits))
        True
        """
        logits = precise(logits)
        return logits[:, 2] - logits[:, :2].logsumexp(1)

    def _of_class(self, logits: Tensor, number: int) -> Tensor:
        if logits.shape[1] != 3:
            raise UserError("the ternary loss needs a logit for each of three classes", found=logits.shape[1])
        return -F.log_softmax(precise(logits), dim=1)[:, number].mean()
