"""The vocabulary of a training step, shared by all models.

A model writes its algorithm in ``step`` with four verbs: ``update`` (which networks to train), ``minimize`` (backward
pass and optimizer step), ``weighted`` (sum and record named terms) and ``update_ema`` (move the moving averages).
"""

import copy
import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from translate.acceleration import channels_last_step
from translate.acceleration.captured_updates import CapturedSteps, HostInputs
from translate.acceleration.step_counts import is_fused, move_step_counts
from translate.data.batches import HeldOut
from translate.data.noise import normal_on
from translate.data.philox import uniform
from translate.data.streams import Stream, stream_of_set
from translate.distributed.collectives import gather, process_rank, shard_count, shard_rank
from translate.distributed.gradients import GradientReducer, Reduction
from translate.distributed.microbatches import current_microbatch, rendezvous, run_microbatches, split
from translate.errors import Phrase, UserError
from translate.inference.base import Translation
from translate.inference.grids import Grid
from translate.losses.adversarial import Logits
from translate.models.ema import EMA
from translate.models.recording import image_logits, mean_terms, ranking_accuracy, unused
from translate.models.roles import check_roles_share_no_parameter, owner_of, owners_of
from translate.models.update_parts import PartsOfUpdates, UpdateParts
from translate.networks.layers.spectral import advance_power_iterations
from translate.runs.checkpoints import Stateful
from translate.schedules import Constant, Schedule, parse

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

Observer = Callable[[str, tuple[str, ...]], AbstractContextManager[object]]
"""Returns the context in which a phase of an iteration runs, given the name of the phase and the roles that it trains.

Phases: "step", which holds all others; "update"; in it "minimize" (the backward pass and what follows) and in that
"optimizer" (one optimizer, one role); "update_ema". With several microbatches the contexts of different microbatches
overlap, except those of "optimizer" and "update_ema".
"""


class TranslationModel(pl.LightningModule):
    """Base of every model: networks by role, one optimizer for each trained role, weights by phase and term.

    ``networks`` maps roles to modules, which become attributes of the model by that name. ``optimizers`` maps the
    trained roles to functions that make an optimizer from parameters. ``losses`` maps slots to loss functions.
    ``weights`` maps phase -> term -> number or schedule. ``ema_decay`` is the fraction of the moving averages of
    `ema_roles` that an update keeps (null: no averages). ``gradient_clip`` is the maximum of the total gradient norm of
    an update (null: no maximum). ``seed`` is the key of the random draws inside a step.
    """

    progress_terms: tuple[str, ...] = ()
    """Names of the recorded terms that a progress bar shows."""

    ema_roles: ClassVar[tuple[str, ...]] = ()
    """Roles that have a moving average if ``ema_decay`` is set."""

    double_backward_roles: ClassVar[tuple[str, ...]] = ("discriminator",)
    """Roles whose networks a gradient penalty may differentiate twice."""

    inference: ClassVar[type[Translation] | None] = None
    """The class that translates with the trained networks, see `translate`."""

    target_domains: tuple[str, ...] = ()
    """Names of the domains to which the model translates, where these are not the domains of the data."""

    latent_size: int = 0
    """The length of a latent code, for a model whose style input is a code (B, latent_size)."""

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Mapping[str, OptimizerFactory],
        losses: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, Any]],
        ema_decay: float | None = None,
        gradient_clip: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        for role, network in networks.items():
            self.add_module(role, network)
        self.roles = tuple(networks)
        self.trained = tuple(role for role in networks if role in optimizers)
        check_roles_share_no_parameter({role: networks[role] for role in self.trained})
        for role in self.roles:
            if role not in self.trained:
                networks[role].requires_grad_(False)
        self.losses = dict(losses)
        self.weights: dict[str, dict[str, Schedule]] = {
            phase: {term: parse(value) for term, value in terms.items()} for phase, terms in weights.items()
        }
        ema_roles = () if ema_decay is None else tuple(role for role in self.ema_roles if role in networks)
        if ema_decay is not None and not ema_roles:
            raise UserError(
                "this model keeps no moving averages", key="ema_decay", found=ema_decay, expected="null, or no such key"
            )
        self.ema = EMA({role: networks[role] for role in ema_roles}, ema_decay or 0.0)
        self.gradient_clip = gradient_clip
        self.seed = seed
        self.iteration = 0  # complete rounds of updates; the only unit of time
        self.num_microbatches = 1  # of the batch of a process; more need less memory
        self.terms: dict[str, Tensor] = {}  # of the last iteration, detached, on the device
        self.stateful: dict[str, Stateful] = {}  # state beside the networks, saved in checkpoints by name
        self.lr_schedules: dict[str, Schedule] = {}  # role -> learning rate, for rates that are not constant
        self.observer: Observer = lambda phase, roles: nullcontext()  # a profiler sets its own
        self.host_inputs = HostInputs()
        self.captured: CapturedSteps | None = None  # in place of `step`, if iterations are replayed
        self._factories = dict(optimizers)
        self._optimizers: dict[str, Optimizer] = {}
        self._reducer = GradientReducer()
        self._parts_of_updates = PartsOfUpdates()
        self._recorded = [self.terms]  # terms of each microbatch
        self._scores: list[dict[str, Tensor]] = [{}]  # of each microbatch: logits of real and fake images, (B, 2)

    def network(self, role: str) -> nn.Module:
        """Return the trained network of a role."""
        return self.get_submodule(role)

    def train(self, mode: bool = True) -> "TranslationModel":
        """Set the mode of the trained networks; the others stay in eval mode, so that their batch norms stand still."""
        super().train(mode)
        for role in self.roles:
            if role not in self.trained:
                self.network(role).eval()
        return self

    def step(self, batch: Any) -> None:
        """Do one iteration, the model's complete round of updates, on a batch of its type."""
        raise NotImplementedError(f"{type(self).__name__} defines no iteration: write a method step(batch)")

    def step_variant(self) -> Hashable:
        """Return on what the operations of this iteration's `step` depend beside tensors, for `trainer.graphs`.

        None, the default, if the step reads more from the host than batch, weights, draws and `host_inputs`.
        """
        return None

    def nonzero_weights(self) -> Hashable:
        """Return which terms have a weight in this iteration."""
        return tuple(weight(self.iteration) != 0 for terms in self.weights.values() for weight in terms.values())

    def records(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the terms and the scores that this iteration has recorded, of one microbatch."""
        return self._recorded[0], self._scores[0]

    # --- the verbs -------------------------------------------------------------------------------------------

    @contextmanager
    def update(self, *roles: str) -> Iterator[Callable[[Tensor], None]]:
        """Train the networks of ``roles``: freeze all others, clear their gradients, restore on exit.

        Yields ``minimize(loss)``. Roles without an optimizer, such as networks without parameters, are skipped.
        Freezing saves gradients that no optimizer reads: the generator's loss is differentiated *through* the
        discriminator, not with respect to the discriminator's weights.

        ``role.part`` is a part of a role, such as ``encoder.2``, that of domain 2 in a role with a network for each
        domain. Other parts of the role are frozen and have no gradient, so the role's optimizer does not touch them:
        neither weights nor moments nor counts of steps change. Every process and microbatch must name the same parts.
        """
        roles = tuple(role for role in roles if owner_of(role) in self.trained)
        with self.observer("update", owners_of(roles)):
            frozen = rendezvous(roles, self._freeze_all_but)
            try:
                yield lambda loss: self._minimize(loss, roles)
            finally:
                for parameter in frozen:
                    parameter.requires_grad_(True)

    def _freeze_all_but(self, roles_of_microbatches: Sequence[tuple[str, ...]]) -> list[nn.Parameter]:
        """Freeze the networks of all other roles and clear the gradients of these; return the parameters frozen.

        The power iterations of spectral norms of these networks move here: once an update, for all microbatches.
        """
        roles = roles_of_microbatches[0]
        assert set(roles_of_microbatches) == {roles}, (
            f"the microbatches update different networks: {roles_of_microbatches}"
        )
        parts = self._parts_of(roles)
        frozen = [p for p in parts.others if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        for owner in parts.owners:
            self.optimizer(owner).zero_grad(set_to_none=True)
        for network in parts.spectral:
            advance_power_iterations(network)
        return frozen

    def _minimize(self, loss: Tensor, roles: tuple[str, ...]) -> None:
        """Differentiate ``loss``, average gradients over microbatches and processes, clip, record the norm, step.

        The processes average while the backward pass of the last microbatch runs, unless batch norms communicate in it.
        """
        if not loss.requires_grad:
            raise UserError(
                f"no weight of the update of {' and '.join(roles)} is above 0, so it would minimize nothing",
                key="model.weights",
                fix="give one of its terms a weight",
            )
        microbatch, parts = current_microbatch(), self._parts_of(roles)
        loss = loss / microbatch.count if microbatch.count > 1 else loss
        synchronized = shard_count() > 1 and self._parts_of_updates.are_synchronized(self._networks())
        joined = microbatch.count > 1 and synchronized
        reduction = self._reducer.reduction(parts.trained)
        is_last = microbatch.index == microbatch.count - 1
        with self.observer("minimize", parts.owners):
            if not joined:
                with reduction.overlap() if is_last and not synchronized else nullcontext():
                    loss.backward()
            norm = rendezvous(loss, lambda losses: self._step_optimizers(roles, reduction, losses if joined else ()))
            self.record(f"gradient_norm/{'+'.join(parts.owners)}", norm)

    def _parts_of(self, roles: tuple[str, ...]) -> UpdateParts:
        """Return the parameters that an update of ``roles`` trains and freezes."""
        return self._parts_of_updates.of(self._networks(), roles, self.trained)

    def _networks(self) -> dict[str, nn.Module]:
        return {role: self.network(role) for role in self.roles}

    def _step_optimizers(self, roles: tuple[str, ...], reduction: Reduction, joined: Sequence[Tensor]) -> Tensor:
        """Clip the accumulated gradients, step the optimizers, and return the gradient norm before clipping.

        ``joined`` are losses of microbatches whose graphs batch norms join; they are differentiated first, together.
        """
        if joined:
            torch.autograd.backward(joined)
        reduction.finish()
        gradients = [p.grad for p in reduction.parameters.values() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.gradient_clip is not None:
            torch._foreach_mul_(gradients, (self.gradient_clip / (norm + 1e-6)).clamp(max=1.0))
        for role in owners_of(roles):
            with self.observer("optimizer", (role,)):
                channels_last_step.step(self.optimizer(role))
        return norm

    def weighted(
        self, phase: str, terms: Mapping[str, Tensor], variant: str = "", every: Mapping[str, int] | None = None
    ) -> Tensor:
        """Return the weighted sum of a phase's terms, and record each term, unweighted, as ``phase/variant/term``.

        The names of the terms must equal those of the configured weights (UserError). A term of weight zero is recorded
        but not added. A term whose weight is always zero may be left out, see `is_active`. A term in ``every`` is
        computed in one of so many iterations only, with its weight multiplied by that number.
        """
        weights, every = self.weights[phase], every or {}
        optional = {term for term, number in every.items() if number > 1}
        optional |= {term for term in weights if not self.is_active(phase, term)}
        if weights.keys() != terms.keys() | optional:
            raise UserError(
                "the terms of the step must be those that have weights",
                key=f"weights.{phase}",
                found=Phrase(f"weights of {sorted(weights)} and terms {sorted(terms)}"),
            )
        prefix = f"{phase}/{variant}/" if variant else f"{phase}/"
        total = torch.zeros((), device=next(iter(terms.values())).device)
        for term, value in terms.items():
            self.record(prefix + term, value)
            if weights[term](self.iteration) != 0:
                total = total + self._weight(weights[term], every.get(term, 1), value) * value
        return total

    def _weight(self, schedule: Schedule, factor: int, like: Tensor) -> float | Tensor:
        if isinstance(schedule, Constant):
            return schedule.value * factor
        return self.host_inputs.number(lambda: schedule(self.iteration) * factor, like)

    def is_active(self, phase: str, term: str) -> bool:
        """Return whether a term ever has a weight. A step need not compute an inactive term that is expensive."""
        return self.weights[phase].get(term, Constant(0.0)) != Constant(0.0)

    def update_ema(self, *roles: str) -> None:
        """Move the moving averages of ``roles``, or of their parts such as ``encoder.2``, towards the trained networks.

        No roles are all. Roles without a moving average are skipped.
        """
        chosen = [role for role in roles or self.ema.networks if owner_of(role) in self.ema.networks]
        rendezvous(None, lambda _: self._update_ema(chosen))

    def _update_ema(self, roles: Sequence[str]) -> None:
        with self.observer("update_ema", owners_of(roles)):
            self.ema.update({role: self.network(role) for role in roles})

    def record(self, name: str, value: Tensor) -> None:
        """Keep a scalar of this iteration for the log, detached, without waiting for the device.

        A name that is recorded again in an iteration, by a second update of a network, becomes ``name#2`` and so on.
        """
        terms = self._recorded[current_microbatch().index]
        terms[unused(name, terms)] = value.detach().float()

    def record_discriminator_accuracy(self, name: str, real: Logits, fake: Logits) -> None:
        """Record, as ``accuracy/name``, how well a discriminator separates real from fake by its logits.

        Logits are a tensor (B, ...) or a sequence of such maps. The accuracy is the fraction of pairs of a real and a
        fake image in which the real one has the higher mean logit, see `image_logits`. It needs no threshold, so it
        serves every adversarial loss. 0.5 is chance, 1 is perfect separation. Pairs are those of the global batch, so
        the accuracy is computed at the end of the iteration.
        """
        scores = self._scores[current_microbatch().index]
        scores[unused(name, scores)] = torch.stack([image_logits(real), image_logits(fake)], dim=1)

    def record_class_accuracy(self, name: str, logits: Tensor, number: int) -> None:
        """Record, as ``class_accuracy/name``, the fraction of images that a discriminator of classes assigns correctly.

        ``logits`` (B, K) are those of images of class ``number``. Chance is 1 / K. One logit (B, 1) separates two
        classes: it is positive for class 1.
        """
        classes = logits.detach()[:, 0] > 0 if logits.shape[1] == 1 else logits.detach().argmax(1)
        self.record(f"class_accuracy/{name}", (classes == number).float().mean())

    def interpolation_weights(self, number: int, count: int, column: int = 0) -> Tensor:
        """Return the weights (count, 1, 1, 1) of the real images in the interpolated images of a gradient penalty.

        They are uniform on [0, 1), float64, on the CPU: a function of the seed, the position of each image in the
        sample stream, and of ``number`` (of the data set or of the update) and ``column`` (0 to 3), which give
        independent draws for the same images. See `translate.losses.penalties.interpolate`.
        """
        weights = self.uniform_draws(Stream.INTERPOLATION, number, count, column + 1)
        return weights[:, column, None, None, None]

    def uniform_draws(self, stream: Stream, number: int, count: int, columns: int) -> Tensor:
        """Return numbers (count, columns) for the images of a shard, uniform on [0, 1), float64, on the CPU.

        They are a function of the seed, the stream and ``number``, and the position of an image in the sample stream.
        """

        def draw() -> Tensor:
            positions = self.sample_positions(count)
            return torch.from_numpy(uniform(self.seed, stream_of_set(number, stream), positions, columns))

        return self.host_inputs.tensor(draw, self.device)

    def normal_noise(self, like: Tensor, number: int) -> Tensor:
        """Return standard normal noise of the shape (B, ...), dtype and device of ``like``.

        The noise of an image is a function of the seed, of the position of the image in the sample stream, and of
        ``number``, which gives independent draws for the same images in one iteration. It does not depend on the
        number of processes or microbatches, and a resumed run draws the same. Give it to a network as an argument.
        """
        stream = stream_of_set(number, Stream.NOISE)
        device, shape, count = like.device, like.shape, like[0].numel()
        noise = self.host_inputs.tensor(
            lambda: normal_on(device, self.seed, stream, self.sample_positions(shape[0]), count), device
        )
        return noise.view(shape).to(like.dtype)

    def sample_positions(self, count: int) -> np.ndarray:
        """Return the positions (count,) in the sample stream of the ``count`` images of the current shard."""
        start = (self.iteration * shard_count() + shard_rank()) * count
        return np.arange(start, start + count)

    # --- use after training ----------------------------------------------------------------------------------

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the style inputs of a translation, keywords of `translate`: "code", "reference", both, or none."""
        return () if self.inference is None else self.inference.style_inputs

    @property
    def only_target(self) -> int | None:
        """Return the only domain to which the model translates; None if there are several."""
        return None if self.inference is None else self.inference.only_target

    @property
    def scale(self) -> int:
        """Return by how much height and width of a translation exceed those of its source: 1 for equal sizes."""
        return 1

    def inference_networks(self) -> dict[str, nn.Module]:
        """Return the network of each role for use after training, in float32: the moving average if there is one."""
        networks = {role: self.ema[role] if role in self.ema else self.network(role) for role in self.roles}
        if self.dtype == torch.float64:  # images and codes are float32
            return {role: copy.deepcopy(network).float() for role, network in networks.items()}
        return networks

    def translate(self, x: Tensor, target: Tensor, *args: Any, **style: Any) -> Tensor:
        """Return images (B, 3, H, W) translated to ``target`` by the class in `inference`.

        ``target`` holds domains (B,), or labels (B, K) for a model of the batch type `labelled`. A model with
        `style_inputs` takes one of them by keyword. The arguments of the class in `inference`, beside the networks, are
        the attributes of the model by the same names.
        """
        if self.inference is None:
            raise NotImplementedError(
                f"{type(self).__name__} defines no translation: set inference to a class, or write translate(x, target)"
            )
        names = [name for name in inspect.signature(self.inference).parameters if name != "networks"]
        arguments = {name: getattr(self, name) for name in names}
        return self.inference(self.inference_networks(), **arguments)(x, target, *args, **style)

    def sample_grids(self, held_out: HeldOut) -> dict[str, Grid]:
        """Return grids by name of translations of held-out images.

        The held-out images are the same at every call of a run. Domains, or data sets, alternate.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no sample grids: write sample_grids(held_out), or set sample_every=null"
        )

    # --- Lightning's methods ---------------------------------------------------------------------------------

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Run ``step`` with random draws keyed by (seed, iteration, rank), and count the iteration."""
        del batch_idx  # Lightning's count begins at zero after a resume
        torch.manual_seed((self.seed * 1_000_003 + self.iteration) * 4_099 + process_rank())
        for role, rate in self.lr_schedules.items():
            for group in self.optimizer(role).param_groups:
                group["lr"] = rate(self.iteration)
        self._recorded = [{} for _ in range(self.num_microbatches)]
        self._scores = [{} for _ in range(self.num_microbatches)]
        microbatches = split(batch, self.num_microbatches) if self.num_microbatches > 1 else [batch]
        with _uncached_autocast():
            run_microbatches(self._observed_step, microbatches)
        self.terms = mean_terms(self._recorded)
        for name in self._scores[0]:
            self.terms[f"accuracy/{name}"] = ranking_accuracy(gather(torch.cat([s[name] for s in self._scores])))
        self.iteration += 1

    def _observed_step(self, batch: Any) -> None:
        with self.observer("step", self.trained):
            (self.captured or self.step)(batch)

    def on_train_start(self) -> None:
        """Bring the counts of fused optimizers, which a checkpoint may have set, to the device of the run."""
        move_step_counts(filter(is_fused, self._optimizers.values()))

    def configure_optimizers(self) -> list[Optimizer]:
        """Return the optimizers in the order of ``trained``."""
        return [self.optimizer(role) for role in self.trained]

    def optimizer(self, role: str) -> Optimizer:
        """Return the optimizer of a trained role, made on first use, when parameters are on their final device."""
        if role not in self._optimizers:
            self._optimizers[role] = self._factories[role](self.network(role).parameters())
        return self._optimizers[role]


@contextmanager
def _uncached_autocast() -> Iterator[None]:
    """Let autocast keep no cast weights, since the next update of an iteration would see those from before this one.

    Some versions of Lightning ask autocast to keep them until the end of the iteration.
    """
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)
