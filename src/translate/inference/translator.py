"""Load a trained model and translate images with it; neither Lightning nor Hydra is imported."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast, get_args, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from translate.data.images import CROPS, Crop
from translate.data.views.base import takes_labels
from translate.errors import Phrase, UserError, first_line
from translate.files.writing import written
from translate.inference import original
from translate.inference.apply import Settings, Summary, apply
from translate.inference.base import Translation, translation_of
from translate.inference.devices import chosen_device
from translate.inference.images import alike, elements, like, to_images
from translate.inference.inputs import sources_of
from translate.inference.names import NamePattern
from translate.inference.numbers import whole
from translate.inference.outputs import opened
from translate.inference.style_inputs import StyleReader, checked_psi
from translate.inference.targets import domains, labels, routes, unnamed_label
from translate.inference.tiling import MAX_PIXELS
from translate.inference.variants import Wishes, common_domain, variants_of
from translate.registry import plugins
from translate.registry.registry import MODELS, TRANSLATIONS
from translate.runs.checkpoints import NETWORK
from translate.runs.folder import LAST
from translate.runs.places import SUFFIX
from translate.sizes import ImageSize
from translate.weights import format
from translate.weights.format import Dtype, Weights
from translate.weights.load import weights_of
from translate.weights.published.layout import ImportOptions

if TYPE_CHECKING:
    from translate.inference.torch_engine import TorchEngine

Size = Literal["model", "original"]
Path = str | os.PathLike[str] | Image.Image
"""A path of an image file, or an image of Pillow; a translation of either is an image of Pillow."""


class StyleArguments(TypedDict, total=False):
    """The keywords of `Translator.translate`."""

    source: Any
    code: Tensor | None
    seed: int | None
    reference: Any
    style: Tensor | None
    psi: float | None
    size: Size
    batch_size: int


def load(
    place: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    checkpoint: str | int = LAST,
    verify: str | os.PathLike[str] | None = None,
    **facts: Any,
) -> "Translator":
    """Load a trained model.

    ``place`` is the name of weights that ship with the package, a weights file, a run folder (of which ``checkpoint``
    is "last", "best" or an iteration), an address on the Hugging Face Hub, or released weights of StarGAN v1,
    StarGAN v2, CycleGAN or pix2pix: a file or the folder of files as downloaded. An address is ``hf://owner/name``;
    ``@REVISION`` and ``/FILE`` follow where they are not the newest and model.safetensors. ``facts`` are those that
    released files do not state, such as ``domains=("cat", "dog")``, see
    `translate.weights.published.layout.ImportOptions`. ``device`` "auto" is a GPU if there is one. ``verify`` is a
    public key of minisign, its file or its text: the weights are refused, before they are read, without a signature
    of that key. UserError for a place without weights, and for a damaged file.

    >>> load("critters")
    Translator(stargan_v2; 64 px; domains bear, cat, rabbit; style of code or reference; iteration 4,000; cpu)
    """
    if not isinstance(place, str | os.PathLike):
        raise UserError(key="place", found=Phrase(type(place).__name__), expected="a name, a path, or an address")
    known = [item.name for item in fields(ImportOptions)]
    for name in facts:
        if name not in known:
            raise UserError(
                "unknown argument", key="load", found=name, known=("device", "checkpoint", "verify", *known)
            )
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    options = ImportOptions(**given)
    return Translator(weights_of(place, checkpoint, options, verify), device, os.fspath(place))


class Translator:
    """A trained model that translates images. `load` creates one.

    ``about`` is the header of the file (model, domains, configuration, scores, licence), without the tensors.
    """

    def __init__(self, weights: Weights, device: str | torch.device = "cpu", place: str = "") -> None:
        """Build the networks; UserError for an unknown model, and for weights that do not fit.

        ``place`` is where the weights come from, for records.
        """
        self.place = place
        self.about = replace(weights, tensors={})
        with plugins.needed_by(weights.config):
            self.translation = _translation(weights)
        self.style_reader = StyleReader(weights.model, self.translation, self.image_size, self.crop)
        self.to(device)

    @property
    def domains(self) -> tuple[str, ...]:
        """Return the names of the domains."""
        return self.about.domains

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the names of the labels of all data sets, for a model with labels as targets."""
        return tuple(name for each in self.about.label_sets for name in each["names"])

    @property
    def takes_labels(self) -> bool:
        """Return whether targets are labels, as of StarGAN v1, and not domains."""
        return takes_labels(MODELS.facts(self.about.model)["batch"])

    @property
    def needs_source(self) -> bool:
        """Return whether the model needs the domain of an image, and not the target alone, as ComboGAN does."""
        return bool(TRANSLATIONS.facts(self.about.model).get("needs_source"))

    @property
    def style_inputs(self) -> tuple[str, ...]:
        """Return the inputs that determine the style, of "code" and "reference"."""
        return self.translation.style_inputs

    @property
    def image_size(self) -> ImageSize:
        """Return the height and width of the sources in training, in pixels."""
        return ImageSize.of(self.about.image_size).each(lambda side: side // self.scale)

    @property
    def scale(self) -> int:
        """Return by how much height and width of translations exceed those of their sources; 1 for equal sizes."""
        return self.translation.scale

    def to(self, device: str | torch.device) -> "Translator":
        """Move the networks to a device; return the same object."""
        self.device = chosen_device(device)
        for network in self.translation.networks.values():
            network.to(self.device)
        return self

    @overload
    def translate(self, images: Tensor, target: Any = None, **style: Unpack[StyleArguments]) -> Tensor:
        """Return a float tensor, or 8-bit pixels, for one."""

    @overload
    def translate(self, images: np.ndarray, target: Any = None, **style: Unpack[StyleArguments]) -> np.ndarray:
        """Return 8-bit pixels for 8-bit pixels."""

    @overload
    def translate(  # type: ignore[overload-overlap]
        self, images: Path, target: Any = None, **style: Unpack[StyleArguments]
    ) -> Image.Image:
        """Return a Pillow image for one, or for a path."""

    @overload
    def translate(self, images: Sequence[Tensor], target: Any = None, **style: Unpack[StyleArguments]) -> list[Tensor]:
        """Return a list of tensors."""

    @overload
    def translate(
        self, images: Sequence[np.ndarray], target: Any = None, **style: Unpack[StyleArguments]
    ) -> list[np.ndarray]:
        """Return a list of pixels."""

    @overload
    def translate(
        self, images: Iterable[Path], target: Any = None, **style: Unpack[StyleArguments]
    ) -> list[Image.Image]:
        """Return a list of Pillow images."""

    @torch.no_grad()
    def translate(
        self,
        images: Any,
        target: Any = None,
        *,
        source: Any = None,
        code: Tensor | None = None,
        seed: int | None = None,
        reference: Any = None,
        style: Tensor | None = None,
        psi: float | None = None,
        size: Size = "model",
        batch_size: int = 16,
    ) -> Any:
        """Return images translated to ``target``, in the form of ``images``.

        Images are a float tensor (B, 3, H, W) or (3, H, W) in [-1, 1], 8-bit pixels (B, H, W, 3) or (H, W, 3) as an
        array or tensor, Pillow images, or paths of image files, one or a list. The result has the same form; for a path
        it is a Pillow image. ``size`` "model" gives translations of the size of training, and a float tensor its own
        size; "original" gives each translation the size and colour mode of its image, see `translate.inference.tiling`.
        Super-resolution enlarges either by `scale`.

        ``target`` is a domain's name or number, or one for each image; for labels see
        `translate.inference.targets.labels`; a model with one target needs none. ``source`` is the domain of the
        images, or one for each, for a model that needs it, see `needs_source`. A model with style inputs takes one of
        ``code`` (B, L) or (L,), ``seed``, which draws a code for each image, ``reference``, one image or one for each,
        and ``style``, (B, Z) or (Z,), see `styles`; without any, the seed is 0. ``psi`` below 1 moves the styles of
        codes towards the domain's mean style.
        ``batch_size`` images are translated at once. UserError for anything else.
        """
        if not isinstance(images, Tensor | np.ndarray | str | os.PathLike | Image.Image) and isinstance(
            images, Iterable
        ):
            images = list(images)
        if size not in get_args(Size):
            raise UserError("unknown size", key="size", found=size, known=get_args(Size))
        batch_size = whole(batch_size, "batch_size", 1)
        if (isinstance(images, list) and not images) or (isinstance(images, Tensor | np.ndarray) and 0 in images.shape):
            return images
        if size == "original":
            return self._at_original_size(images, target, source, (code, seed, reference, style), psi)
        x = to_images(images, self.image_size, self.crop)
        count = len(x)
        targets = self.targets(target, count, source)
        chosen_style = self.style_reader.read(count, code, seed, reference, style)
        settings = {} if psi is None else {"psi": checked_psi(psi, chosen_style)}
        translations = []
        for rows in torch.arange(count).split(batch_size):
            chosen = {name: value[rows].to(self.device) for name, value in chosen_style.items()}
            batch = self.translate_batch(x[rows].to(self.device), targets[rows].to(self.device), **chosen, **settings)
            translations.append(batch.float().clamp(-1, 1))
        y = torch.cat(translations) if translations else x.to(self.device)
        if isinstance(images, Tensor) and images.is_floating_point() and images.ndim == 4:
            return y
        return alike(images, [like(image, each) for image, each in zip(elements(images), y, strict=True)])

    def _at_original_size(
        self, images: Any, target: Any, source: Any, style: tuple[Any, Any, Any, Any], psi: float | None
    ) -> Any:
        """Return translations of the sizes of their images, which can differ."""
        singles = elements(images)
        targets = self.targets(target, len(singles), source).numpy()
        inputs = self.style_reader.read(len(singles), *style)
        amount = None if psi is None else checked_psi(psi, inputs)
        arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
        return alike(images, original.translate_each(self.engine, singles, targets, arrays, amount, self.device))

    @property
    def engine(self) -> "TorchEngine":
        """Return this translator as an engine of arrays, see `translate.inference.engine`."""
        from translate.inference.torch_engine import TorchEngine

        return TorchEngine(self)

    def apply(
        self,
        input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        output: str | os.PathLike[str],
        *,
        target: str | Sequence[str] | None = None,
        attributes: Mapping[str, float] | None = None,
        direction: str | None = None,
        source: str | None = None,
        seed: int | Sequence[int] | None = None,
        num_styles: int = 1,
        reference: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        psi: float | None = None,
        steps: int | None = None,
        resolution: Literal["auto", "model", "full"] = "auto",
        max_pixels: int = MAX_PIXELS,
        format: str | None = None,
        overwrite: bool = False,
        batch_size: int | None = None,
        names: str | None = None,
        others: bool = False,
    ) -> Summary:
        """Translate the image files of ``input`` (files, folders or patterns) into the folder or address ``output``.

        The arguments are those of the command ``python -m translate apply``; the result counts translations, and names
        files that could not be translated.
        """
        targets, seeds = _several(target, str), _several(seed, int)
        references = tuple(os.fspath(each) for each in _several(reference, str | os.PathLike))
        pattern = None if names is None else NamePattern(names)
        engine = self.engine
        with opened(output) as (folder, remote):
            sources = sources_of(_several(input, str | os.PathLike), folder)
            source = source or common_domain(sources, engine)
            wishes = Wishes(targets, attributes, direction, seeds, num_styles, references, psi, steps, source)
            settings = Settings(
                *(folder, resolution, max_pixels, format, overwrite, batch_size, self.place),
                names=pattern,
                others=others,
                remote=remote,
            )
            return apply(engine, sources, variants_of(engine, wishes), settings)

    @torch.no_grad()
    def interpolate(
        self,
        images: Any,
        target: Any,
        *,
        seeds: tuple[int, int] | None = None,
        references: tuple[Any, Any] | None = None,
        styles: tuple[Tensor, Tensor] | None = None,
        steps: int = 8,
        psi: float | None = None,
        size: Size = "model",
    ) -> list[Any]:
        """Return ``steps`` translations whose styles lead from one to another, each as `translate` returns it.

        Give one of two ``seeds``, two ``references``, and two ``styles`` (Z,) or (1, Z) that `styles` returned. The
        styles are interpolated linearly: ``s(t) = s_0 + t (s_1 - s_0)``, t from 0 to 1.
        """
        ways = [name for name, pair in (("seeds", seeds), ("references", references), ("styles", styles)) if pair]
        if len(ways) != 1:
            raise UserError(
                key="interpolate", found=Phrase(" and ".join(ways) or "none"), expected="seeds, references or styles"
            )
        steps = whole(steps, "steps", 2)
        pair = seeds or references or styles
        assert pair is not None, ways
        if len(pair) != 2:
            raise UserError(key=ways[0], found=Phrase(str(len(pair))), expected="two")
        if seeds is not None:
            start, end = (self.styles(target, seed=seed, psi=psi) for seed in seeds)
        elif references is not None:
            start, end = (self.styles(target, reference=reference) for reference in references)
        else:
            assert styles is not None
            start, end = (style[None] if style.ndim == 1 else style for style in styles)
        weights = torch.linspace(0, 1, steps).tolist()
        return [self.translate(images, target, style=torch.lerp(start, end, weight), size=size) for weight in weights]

    def save(self, path: str | os.PathLike[str], dtype: Dtype = "float32") -> None:
        """Write the networks and all that translating needs to a weights file, which `load` reads.

        ``dtype`` "float16" halves the file. UserError for a name that does not end in .safetensors.
        """
        place = FilePath(path).expanduser()
        if place.suffix != SUFFIX:
            raise UserError(key="path", found=str(path), expected=f"a name that ends in {SUFFIX}")
        if dtype not in get_args(Dtype):
            raise UserError("unknown type of numbers", key="dtype", found=dtype, known=get_args(Dtype))
        networks = self.translation.networks
        tensors = {
            f"{NETWORK}.{role}.{name}": tensor
            for role, network in networks.items()
            for name, tensor in network.state_dict().items()
        }
        nodes = {role: self.about.networks[role] for role in networks}
        with written(place):
            format.write(replace(self.about, tensors=tensors, networks=nodes, official=None), place, dtype)

    def __repr__(self) -> str:
        targets = ", ".join(self.labels if self.takes_labels else self.domains)
        parts = [self.about.model, f"{self.image_size} px", f"{'labels' if self.takes_labels else 'domains'} {targets}"]
        if self.style_inputs:
            parts.append(f"style of {' or '.join(self.style_inputs)}")
        if self.about.iteration is not None:
            parts.append(f"iteration {self.about.iteration:,}")
        return f"Translator({'; '.join([*parts, str(self.device)])})"

    @torch.no_grad()
    def styles(
        self,
        target: Any,
        *,
        code: Tensor | None = None,
        seed: int | None = None,
        reference: Any = None,
        psi: float | None = None,
        count: int = 1,
    ) -> Tensor:
        """Return styles (B, Z) in ``target``, a domain or one for each style: of codes, of a seed, or of references.

        The arguments are those of `translate`. B is the number of codes or references, or ``count`` with a seed.
        """
        if reference is not None:
            reference = self.style_reader.references(reference)
            count = len(reference)
        elif code is not None:
            count = 1 if code.ndim == 1 else len(code)
        inputs = self.style_reader.read(count, code, seed, reference, None)
        settings = {} if psi is None else {"psi": checked_psi(psi, inputs)}
        moved = {name: value.to(self.device) for name, value in inputs.items()}
        return self.translation.styles(self.targets(target, count).to(self.device), **moved, **settings)

    def _one_target(self) -> int:
        """Return the domain to which the model translates; UserError if there are several."""
        reachable = () if self.takes_labels else self.translation.reachable(len(self.domains))
        if len(reachable) != 1:
            expected = f"one of {', '.join(self.labels if self.takes_labels else self.domains)}"
            raise UserError("this argument is missing", key="target", expected=expected)
        return reachable[0]

    def translate_batch(self, x: Tensor, target: Tensor, **style: Any) -> Tensor:
        """Translate one batch; UserError for images of a size that the networks cannot process."""
        try:
            return self.translation.again(x, target, **style)
        except RuntimeError as error:
            size = self.image_size
            sizes = [tuple(t.shape[2:]) for t in (x, *style.values()) if isinstance(t, Tensor) and t.ndim == 4]
            other = [each for each in sizes if each != size]
            if not other and "style" in style:
                found = Phrase(f"shape {tuple(style['style'].shape)}")
                raise UserError("the networks cannot process this style", key="style", found=found) from error
            if not other:
                raise
            raise UserError(
                "the networks cannot process images of this size",
                key="images",
                found=Phrase(f"{other[0][0]} x {other[0][1]} pixels"),
                expected=f"{size[0]} x {size[1]}, the size of training",
            ) from error

    @property
    def crop(self) -> Crop:
        """Return how images get the size of training: as there, or "square" if that is unknown."""
        crop = self.about.data.get("crop")
        known = crop in CROPS or (isinstance(crop, int) and crop > 0)
        return cast(Crop, crop) if known else "square"

    def targets(self, target: Any, count: int = 1, source: Any = None) -> Tensor:
        """Return the target of ``count`` images as networks take it.

        It is domains (B,) int64, labels (B, K) float32, or routes (B, 2) int64 from ``source``. UserError for a source
        where the model does not need it.
        """
        target = target.detach().cpu() if isinstance(target, Tensor) else target
        if target is None:
            target = self._one_target()
        if self.needs_source:
            return torch.from_numpy(routes(target, source, count, self.domains))
        if source is not None:
            raise UserError(f"{self.about.model} does not need the domain of an image", key="source")
        if self.takes_labels:
            return torch.from_numpy(labels(target, count, self.about.label_sets, unnamed_label(self.about.model)))
        return torch.from_numpy(domains(target, count, self.domains))


def _translation(weights: Weights) -> Translation:
    """Return the translation of the weights' model, with its networks."""
    if weights.model not in TRANSLATIONS.index():
        raise UserError("no translation is registered for the model", found=weights.model, known=TRANSLATIONS.names())
    parameters = {parameter.name for parameter in TRANSLATIONS.entry(weights.model).parameters}
    arguments = {key: value for key, value in weights.arguments.items() if key in parameters}
    cls = translation_of(weights.model)
    networks = format.networks_of(weights, (*cls.roles, *cls.optional_roles))
    try:
        return cls(networks, **arguments)
    except UserError:
        raise
    except Exception as error:  # arguments of any types, from a file of anybody, can fail anywhere
        raise UserError(
            f"the model {weights.model!r} cannot translate by the networks and arguments in the file",
            key="weights",
            found=Phrase(first_line(error)),
        ) from error


def _several(value: Any, kind: Any) -> tuple[Any, ...]:
    """Return a value, several, or None as a tuple."""
    return () if value is None else (value,) if isinstance(value, kind) else tuple(value)
