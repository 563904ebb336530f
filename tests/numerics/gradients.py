"""What the first iteration of a model descends by."""

import pytest
import torch

from translate.models.base import TranslationModel

Gradients = dict[str, dict[str, torch.Tensor]]


def of_first_iteration(monkeypatch: pytest.MonkeyPatch) -> Gradients:
    """Return a mapping, role -> key -> gradient, that the last update of each network in the first iteration fills."""
    found: Gradients = {}
    minimize = TranslationModel._minimize

    def spy(self: TranslationModel, loss: torch.Tensor, roles: tuple[str, ...]) -> None:
        minimize(self, loss, roles)
        if self.iteration == 0:
            for role in roles:
                named = self.network(role).named_parameters()
                found[role] = {key: p.grad.clone() for key, p in named if p.grad is not None}

    monkeypatch.setattr(TranslationModel, "_minimize", spy)
    return found
