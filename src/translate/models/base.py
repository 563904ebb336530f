"""The vocabulary of a training step, shared by all models.

A model writes its algorithm in ``step`` with four verbs: ``update`` (which networks learn now), ``descend`` (take the
gradient step), ``weighted`` (sum and record named terms) and ``average`` (move the averaged networks).
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from translate.acceleration import channels_last_step
from translate.data.batches import HeldOut
from translate.data.philox import uniform
from translate.data.streams import Stream, stream_of_set
from translate.distributed.collectives import all_reduce_mean, gather, process_rank, shard_count, shard_rank
from translate.distributed.microbatches import current_microbatch, rendezvous, run_microbatches, split
from translate.models.ema import EMA
from translate.runs.checkpoints import Stateful
from translate.schedules import Constant, Schedule, parse

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

Observer = Callable[[str, tuple[str, ...]], AbstractContextManager[object]]
"""Returns the context in which a phase of an iteration runs, given the name of the phase and the roles that it trains.

Phases: "step", which holds all others; "update"; in it "minimize" (the backward pass and what follows) and in that
"optimizer" (one optimizer, one role); "update_ema". With several microbatches the contexts of different microbatches
overlap, except those of "optimizer".
"""


class TranslationModel(pl.LightningModule):
    """Base of every model: networks by role, an optimizer a trained role, weights by phase and term.

    ``networks`` maps roles to modules, which become attributes of the model by that name. A role with an entry in
    ``optimizers`` (role -> function of parameters) is trained. ``weights`` maps phase -> term -> number or schedule.
    ``averaged`` names the roles that have a moving average, kept with ``ema_decay``. ``gradient_clip`` bounds the
    total gradient norm of an update (null: no bound). ``seed`` keys the random draws inside a step.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        weights: Mapping[str, Mapping[str, Any]],
        averaged: Iterable[str] = (),
        ema_decay: float = 0.999,
        gradient_clip: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        for role, network in networks.items():
            self.add_module(role, network)
        self.roles = tuple(networks)
        self.trained = tuple(role for role in networks if role in optimizers)
        self.ema = EMA({role: networks[role] for role in averaged}, ema_decay)
        self.weights: dict[str, dict[str, Schedule]] = {
            phase: {term: parse(value) for term, value in terms.items()} for phase, terms in weights.items()
        }
        self.gradient_clip = gradient_clip
        self.seed = seed
        self.iteration = 0  # whole rounds of updates done; the only unit of time
        self.num_microbatches = 1  # in which a process trains its batch, one after another, to need less memory
        self.terms: dict[str, Tensor] = {}  # of the iteration just done, detached, on the device
        self.memories: dict[str, Stateful] = {}  # kept in checkpoints by name
        self.lr_schedules: dict[str, Schedule] = {}  # role -> learning rate, for roles whose rate is not constant
        self.observer: Observer = lambda phase, roles: nullcontext()  # a profiler puts its own in place
        self._factories = dict(optimizers)
        self._optimizers: dict[str, Optimizer] = {}
        self._recorded = [self.terms]  # of each part
        self._scores: list[dict[str, Tensor]] = [{}]  # of each part: what accuracies are told by, (B, 2)

    def network(self, role: str) -> nn.Module:
        """Return the trained network of a role."""
        return self.get_submodule(role)

    def inference_networks(self) -> dict[str, nn.Module]:
        """Return the network of every role as it is used after training: its average where there is one, in float32."""
        networks = {role: self.ema[role] if role in self.ema else self.network(role) for role in self.roles}
        if self.dtype == torch.float64:  # pictures come in float32, and so do codes
            return {role: copy.deepcopy(network).float() for role, network in networks.items()}
        return networks

    progress_terms: tuple[str, ...] = ()
    """Names of the recorded terms that a progress bar shows."""

    style_inputs: tuple[str, ...] = ()
    """What guides a translation beside the target: of "code" and "reference", keywords of `translate`."""

    double_backward_roles: tuple[str, ...] = ("discriminator",)
    """Roles whose networks a gradient penalty may differentiate twice."""

    latent_size: int = 0
    """The length of a code (B, latent_size), for a model that is guided by codes."""

    def translate(self, x: Tensor, target: Tensor, *args: Any, **guide: Any) -> Tensor:
        """Return images (B, 3, S, S) translated to ``target``, by the averaged networks where there are any.

        ``target`` holds domains (B,); a model of the batch `labelled` takes labels (B, K) as well. A model with
        `guides` takes one of them by keyword.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how to translate: define translate(x, target)")

    def step(self, batch: Any) -> None:
        """Do one iteration, the model's whole round of updates, on a batch of its type."""
        raise NotImplementedError(f"{type(self).__name__} does not say what an iteration is: define step(batch)")

    def sample_grids(self, held_out: HeldOut) -> dict[str, Tensor]:
        """Return pictures (3, H, W) by name of what the model does to held-out images.

        They are the same at every call of a run, the domains (or data sets) in turn.
        """
        raise NotImplementedError(
            f"{type(self).__name__} draws no samples: define sample_grids, or set sample_every=null"
        )

    # --- the verbs -------------------------------------------------------------------------------------------

    @contextmanager
    def update(self, *roles: str) -> Iterator[Callable[[Tensor], None]]:
        """Let the networks of ``roles`` learn: freeze every other one, clear their gradients, restore on exit.

        A role that is not trained, such as a network without parameters, is passed over. Yields ``descend``. Freezing
        saves the gradients that nobody would use: a generator's loss flows *through* the discriminator without
        computing gradients *for* it.
        """
        roles = tuple(role for role in roles if role in self.trained)
        with self.observer("update", roles):
            frozen = rendezvous(None, lambda _: self._freeze_all_but(roles))
            try:
                yield lambda loss: self._minimize(loss, roles)
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(True)

    def _freeze_all_but(self, roles: tuple[str, ...]) -> list[nn.Parameter]:
        """Make the other networks rest and clear the gradients of these; return what was frozen by it."""
        others = [role for role in self.trained if role not in roles]
        frozen = [p for role in others for p in self.network(role).parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        for role in roles:
            self.optimizer(role).zero_grad(set_to_none=True)
        return frozen

    def _minimize(self, loss: Tensor, roles: tuple[str, ...]) -> None:
        """Take the gradient of ``loss``, average it over parts and processes, bound and record its norm, step."""
        count = current_microbatch().count
        with self.observer("minimize", roles):
            (loss / count if count > 1 else loss).backward()
            norm = rendezvous(None, lambda _: self._move(roles))
            self.record(f"gradient_norm/{'+'.join(roles)}", norm)

    def _move(self, roles: tuple[str, ...]) -> Tensor:
        """Step along the gradients that have been taken, and return their norm before it was bounded."""
        gradients = [p.grad for role in roles for p in self.network(role).parameters() if p.grad is not None]
        all_reduce_mean(gradients)
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.gradient_clip is not None:
            torch._foreach_mul_(gradients, (self.gradient_clip / (norm + 1e-6)).clamp(max=1.0))
        for role in roles:
            with self.observer("optimizer", (role,)):
                channels_last_step.step(self.optimizer(role))
        return norm

    def weighted(
        self, phase: str, terms: Mapping[str, Tensor], variant: str = "", every: Mapping[str, int] | None = None
    ) -> Tensor:
        """Return the weighted sum of a phase's terms and record each, unweighted, as ``phase/variant/term``.

        The terms must be exactly those that the config gives weights for. A term of weight zero is measured and
        recorded but takes no part in the sum; one whose weight is always zero may be left out, see `counts`. One in
        ``every`` is measured in one of so many iterations, left out in the others, and weighs so many times more.
        """
        weights, every = self.weights[phase], every or {}
        resting = {term for term, number in every.items() if number > 1}
        if weights.keys() != terms.keys() | resting | {term for term in weights if not self.is_active(phase, term)}:
            raise ValueError(
                f"weights.{phase}: found weights for {sorted(weights)}, but the step has the terms {sorted(terms)}"
            )
        prefix = f"{phase}/{variant}/" if variant else f"{phase}/"
        total = torch.zeros((), device=next(iter(terms.values())).device)
        for term, value in terms.items():
            self.record(prefix + term, value)
            if (weight := weights[term](self.iteration) * every.get(term, 1)) != 0:
                total = total + weight * value
        return total

    def is_active(self, phase: str, term: str) -> bool:
        """Return whether a term ever has a weight; a step leaves out one that has none if it is dear to measure."""
        return self.weights[phase].get(term, Constant(0.0)) != Constant(0.0)

    def update_ema(self) -> None:
        """Move the averaged networks towards the trained ones."""
        trained = {role: self.network(role) for role in self.ema.networks}
        with self.observer("update_ema", tuple(trained)):
            rendezvous(None, lambda _: self.ema.update(trained))

    def record(self, name: str, value: Tensor) -> None:
        """Keep a scalar of this iteration for the log, detached and without waiting for the device.

        A name recorded twice in an iteration (several updates of one network) keeps every value: the second is
        ``name#2``, and so on.
        """
        terms = self._recorded[current_microbatch().index]
        terms[unused(name, terms)] = value.detach().float()

    def record_discriminator_accuracy(self, name: str, real: Tensor, fake: Tensor) -> None:
        """Record, as ``accuracy/name``, how well a discriminator tells real from fake by its logits (any shape).

        It is the share of pairs of a real and a fake image that are ranked rightly, each image by the mean of its
        logits: a measure that needs no threshold, so it serves every adversarial loss. 0.5 is a coin, 1 is no doubt.
        Pairs are those of the whole batch, over all processes, so it is known when the iteration is over.
        """
        scores = self._scores[current_microbatch().index]
        means = [logits.detach().float().flatten(1).mean(1) if logits.ndim > 1 else logits for logits in (real, fake)]
        scores[unused(name, scores)] = torch.stack(means, dim=1).detach().float()

    def interpolation_weights(self, number: int, count: int) -> Tensor:
        """Return the shares (count, 1, 1, 1) of the real images in what a gradient penalty looks at, on the CPU.

        They are uniform on [0, 1), a function of (seed, ``number`` of the data set or of the update, place of the image
        in the sample stream).
        """
        start = (self.iteration * shard_count() + shard_rank()) * count
        stream = stream_of_set(number, Stream.INTERPOLATION)
        share = uniform(self.seed, stream, np.arange(start, start + count), 1).astype(np.float32)
        return torch.from_numpy(share)[:, :, None, None]

    # --- what Lightning asks ---------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Run ``step`` with its random draws keyed by (seed, iteration, rank), and count the iteration."""
        del batch_idx  # Lightning's own count starts anew on resume
        torch.manual_seed((self.seed * 1_000_003 + self.iteration) * 4_099 + process_rank())
        for role, rate in self.lr_schedules.items():
            for group in self.optimizer(role).param_groups:
                group["lr"] = rate(self.iteration)
        self._recorded = [{} for _ in range(self.num_microbatches)]
        self._scores = [{} for _ in range(self.num_microbatches)]
        run_microbatches(
            self._observed_step, split(batch, self.num_microbatches) if self.num_microbatches > 1 else [batch]
        )
        self.terms = mean_of(self._recorded)
        for name in self._scores[0]:
            self.terms[f"accuracy/{name}"] = ranked_rightly(gather(torch.cat([s[name] for s in self._scores])))
        self.iteration += 1

    def _observed_step(self, batch: Any) -> None:
        with self.observer("step", self.trained):
            self.step(batch)

    def configure_optimizers(self) -> list[Optimizer]:
        """Return the optimizers in the order of ``trained``."""
        return [self.optimizer(role) for role in self.trained]

    def optimizer(self, role: str) -> Optimizer:
        """Return the optimizer of a trained role, made on first use so that it sees parameters in their final place."""
        if role not in self._optimizers:
            self._optimizers[role] = self._factories[role](self.network(role).parameters())
        return self._optimizers[role]


def unused(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that is not taken yet: ``name``, ``name#2`` and so on."""
    found, count = name, 1
    while found in taken:
        count += 1
        found = f"{name}#{count}"
    return found


def ranked_rightly(scores: Tensor) -> Tensor:
    """Return the share of pairs, of scores (B, 2) of real and of fake images, in which the real one has the higher."""
    return (scores[:, None, 0] > scores[:, 1]).float().mean()


def mean_of(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean over parts of what each has recorded by the same names."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: torch.stack([terms[name] for terms in parts]).mean(0) for name in parts[0]}
