"""The engine of torch: a translator that takes and returns arrays."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from translate.data.images import Crop
from translate.inference.sizes import SizeRule, joint_rule
from translate.inference.translator import Translator


class TorchEngine:
    """A translator as an `Engine`, on the translator's device."""

    interpolates = True

    def __init__(self, translator: Translator) -> None:
        self.translator = translator
        about = translator.about
        self.model = about.model
        self.domains = translator.domains
        self.reachable: Sequence[int] = translator.translation.reachable(len(translator.domains))
        self.label_sets: Sequence[Mapping[str, Any]] = about.label_sets if translator.takes_labels else ()
        self.style_inputs = translator.style_inputs
        self.latent_size = translator.translation.latent_size
        self.image_size, self.scale = translator.image_size, translator.scale
        self.crop: Crop = translator.crop
        nodes = [node for role, node in about.networks.items() if role in translator.translation.roles]
        # a model with styles keeps the size of training: its style networks know no other
        self.sizes: SizeRule | None = None if self.style_inputs else joint_rule(nodes)

    @property
    def on_cpu(self) -> bool:
        """Return whether the networks are on the CPU."""
        return self.translator.device.type == "cpu"

    @property
    def runtime(self) -> str:
        """Return version, device and number of threads."""
        place = f"{torch.get_num_threads()} threads" if self.on_cpu else torch.cuda.get_device_name()
        return f"torch {torch.__version__}, {self.translator.device.type}, {place}"

    @functools.cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the networks that translate and of their arguments, whatever file they come from."""
        about, networks = self.translator.about, self.translator.translation.networks
        nodes = {role: about.networks.get(role) for role in sorted(networks)}
        result = hashlib.sha256(json.dumps([about.model, about.arguments, nodes], sort_keys=True).encode())
        for role in sorted(networks):
            for name, tensor in sorted(networks[role].state_dict().items()):
                result.update(f"{role}.{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                result.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return result.hexdigest()

    @torch.no_grad()
    def styles(
        self,
        target: np.ndarray,
        code: np.ndarray | None = None,
        reference: np.ndarray | None = None,
        psi: float | None = None,
    ) -> np.ndarray:
        """Return the styles (B, Z) of codes (B, L) or of references (B, 3, H, W) in domains (B,)."""
        inputs = {"code": code, "reference": reference}
        tensors = {name: self._tensor(value) for name, value in inputs.items() if value is not None}
        settings = {} if psi is None else {"psi": psi}
        return self.translator.translation.styles(self._tensor(target), **tensors, **settings).cpu().numpy()

    @torch.no_grad()
    def translate(self, x: np.ndarray, target: np.ndarray, style: np.ndarray | None = None) -> np.ndarray:
        """Return images translated to a target, with a style where the model has style inputs; clipped to [-1, 1]."""
        styles = {} if style is None else {"style": self._tensor(style)}
        translation = self.translator.translate_batch(self._tensor(x), self._tensor(target), **styles)
        return translation.float().clamp(-1, 1).cpu().numpy()

    def _tensor(self, value: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(value)).to(self.translator.device)
