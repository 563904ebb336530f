"""The memory of a configuration as a table, and the settings with which it fits common GPUs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from translate.config.schema import RunConfig
from translate.errors import UserError
from translate.profiling.memory import GPU_FRACTION, KINDS, OUTSIDE, PARAMETERS, MemoryEstimate, Peak, estimate
from translate.sizes import ImageSize

CARDS = (8, 12, 24, 80)
"""Sizes of GPU memory, in GB (10^9 bytes), for which the fitting settings are listed."""


@dataclass(frozen=True)
class Fit:
    """The settings with which a configuration fits a GPU; None if none of those tried fits."""

    card: int  # GB
    overrides: tuple[str, ...] | None
    needed: int  # bytes, with these settings


def fits(config: RunConfig, unchanged: MemoryEstimate, cards: Iterable[int] = CARDS) -> list[Fit]:
    """Return, for each size of GPU, the first variant of a configuration that fits.

    Variants keep the mathematics: as it is; then activation checkpointing; then more and more microbatches as well.
    """
    known: list[tuple[tuple[str, ...], int]] = [((), unchanged.needed)]
    untried = _variants(config, unchanged.batch_size)
    result = []
    for card in sorted(cards, reverse=True):
        while known[-1][1] > card * 1e9 and (variant := next(untried, None)) is not None:
            known.append(variant)
        fitting = next(((overrides, needed) for overrides, needed in known if needed <= card * 1e9), None)
        overrides, needed = fitting or (None, min(needed for _, needed in known))
        result.append(Fit(card, overrides, needed))
    return result[::-1]


def _variants(config: RunConfig, batch_size: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield (overrides, bytes needed) of variants that need less and less memory."""
    trainer = config.trainer
    overrides: tuple[str, ...] = ()
    if not trainer.activation_checkpointing and not trainer.compile:
        trainer, overrides = replace(trainer, activation_checkpointing=True), ("trainer.activation_checkpointing=true",)
        yield overrides, estimate(replace(config, trainer=trainer)).needed
    for accumulate in range(trainer.accumulate + 1, batch_size + 1):
        if batch_size % accumulate == 0:
            changed = replace(config, trainer=replace(trainer, accumulate=accumulate))
            try:
                needed = estimate(changed).needed
            except UserError:  # batch norm over microbatches has to keep its activations
                return
            yield (*overrides, f"trainer.accumulate={accumulate}"), needed


def table(config: RunConfig, result: MemoryEstimate) -> str:
    """Return an estimate as a table for the terminal, on a GPU with the settings that fit common sizes."""
    trainer = config.trainer
    how = [f"{ImageSize.of(config.data.image_size)} px", f"batches of {result.batch_size}"]
    how += [f"in each of {result.num_processes} processes"] * (result.num_processes > 1)
    how += [f"{trainer.accumulate} microbatches"] * (trainer.accumulate > 1)
    how += ["activation checkpointing"] * trainer.activation_checkpointing
    sizes = ", ".join(f"{role} {count / 1e6:.3g} M" for role, count in result.parameters.items() if count)
    lines = [
        f"{config.model.name}, {', '.join(how)}, {trainer.precision}, on a {'GPU' if result.on_gpu else 'CPU'}",
        f"{PARAMETERS}: {sizes}",
        "",
        f"{'at the peak, ' + when(result.peak):<64}{'GB':>8}",
        *(f"  {kind:<62}{result.peak.kinds[kind] / 1e9:8.3f}" for kind in KINDS if result.peak.kinds[kind]),
        f"{'together':<64}{result.peak.total / 1e9:8.3f}",
    ]
    if result.on_gpu:
        label = f"needed, with {GPU_FRACTION:.0%} between blocks and 1 GiB for CUDA"
        lines += [f"{label:<64}{result.needed / 1e9:8.3f}", "", *_fit_lines(fits(config, result))]
    return "\n".join(lines)


def _fit_lines(entries: Iterable[Fit]) -> Iterator[str]:
    for entry in entries:
        if entry.overrides is None:
            yield f"{entry.card} GB: too small; the settings that keep the mathematics need {entry.needed / 1e9:.1f} GB"
        else:
            how = f"with {' '.join(entry.overrides)}" if entry.overrides else "as it is"
            yield f"{entry.card} GB: fits {how} ({entry.needed / 1e9:.1f} GB)"


def when(peak: Peak) -> str:
    """Return the moment of a peak in words."""
    return peak.during if peak.during == OUTSIDE else f"in the update of {peak.during}"
