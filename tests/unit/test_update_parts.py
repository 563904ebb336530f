"""The parts of updates are found once, and follow flags and exchanged networks."""

import copy

from torch import nn

from translate.models.update_parts import PartsOfUpdates
from translate.networks.layers.spectral import normalize_spectrally


def networks() -> dict[str, nn.Module]:
    per_domain = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
    return {"encoder": per_domain, "decoder": nn.Linear(1, 1, bias=False), "frozen": nn.Linear(1, 1)}


def test_an_update_trains_its_roles_or_parts_and_freezes_the_other_trained_roles() -> None:
    each = networks()
    parts = PartsOfUpdates().of(each, ("encoder.1",), ["encoder", "decoder"])
    assert list(parts.named) == ["encoder.1.weight", "encoder.1.bias"]
    first, decoder = each["encoder"].get_submodule("0"), each["decoder"]
    assert [id(p) for p in parts.others] == [id(p) for p in (*first.parameters(), *decoder.parameters())]
    assert parts.owners == ("encoder",)
    next(iter(parts.named.values())).requires_grad_(False)
    assert list(parts.trained) == ["encoder.1.bias"]


def test_parts_are_found_once_until_a_role_has_another_network() -> None:
    each, found = networks(), PartsOfUpdates()
    first = found.of(each, ("decoder",), ["encoder", "decoder"])
    assert found.of(dict(each), ("decoder",), ["encoder", "decoder"]) is first
    copied, copies = copy.deepcopy((found, each))
    assert copied.of(copies, ("decoder",), ["encoder", "decoder"]).named["decoder.weight"] is copies["decoder"].weight
    each["decoder"] = nn.Linear(1, 1)
    normalize_spectrally(each["decoder"])
    second = found.of(each, ("decoder",), ["encoder", "decoder"])
    assert second.spectral == (each["decoder"],)
    assert list(second.named) == ["decoder.bias", "decoder.parametrizations.weight.original"]
