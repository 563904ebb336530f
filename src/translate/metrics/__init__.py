"""Metrics, each named by its protocol.

A metric other than `local` keeps a `Tally` of a stream of images. The registration says which protocol it belongs to,
what it reads of each batch, and its figures with the better direction: ``reads="features"`` has
``tally() figures(fake, real, device) doubts(fake, real)``; ``"outputs"``, all translations of a source,
``"sources"``, the same with the source, and ``"pairs"`` have ``tally() read(...) figures(tally) doubts(tally)``.
"""

from translate.metrics import content, distributions, inception, local, lpips, paired, protocols, tallies, weights

__all__ = ["content", "distributions", "inception", "local", "lpips", "paired", "protocols", "tallies", "weights"]
