"""The names of the files of translations: folders of targets and styles, or a pattern of the user."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import Formatter

from translate.data.images import SUFFIXES, is_image
from translate.errors import UserError
from translate.inference.inputs import Source, domain_of
from translate.inference.variants import Variant

KEY = "names"
"""The argument that errors name."""

PLACEHOLDERS = ("name", "target", "target_number", "source", "source_number", "style")


@dataclass(frozen=True)
class NamePattern:
    """The path of a translation below the output folder, without suffix, such as ``{name}_fake_{target_number}``.

    ``{name}`` is the path of the source without suffix, ``{target}`` and ``{source}`` the domain of the translation and
    that of the source, ``{target_number}`` and ``{source_number}`` the number in its name (3 of c3), ``{style}`` the
    style, such as seed_0.
    """

    text: str

    def __post_init__(self) -> None:
        """Raise UserError for an unknown placeholder, without ``{name}``, and for a path out of the folder."""
        try:
            parts = list(Formatter().parse(self.text))
        except ValueError as error:
            raise self._error(f"braces do not match ({error})") from error
        for _, field, spec, conversion in parts:
            if field is not None and field not in PLACEHOLDERS:
                raise UserError("unknown placeholder", key=KEY, found=field, known=PLACEHOLDERS)
            if spec or conversion:
                raise self._error(f"the placeholder {field!r} takes no format", f"{{{field}}}")
        if "name" not in self.fields:
            raise self._error("images would have translations of the same name", "put {name} into it")
        path = PurePosixPath(self.text)
        if path.is_absolute() or ".." in path.parts or "\0" in self.text or "\\" in self.text:
            raise self._error("it leads out of the output folder", "a path such as {target}/{name}")
        if is_image(path.name) or path.suffix[1:].lower() in SUFFIXES:
            fix = f"leave out {path.suffix}; format={path.suffix[1:]} converts"
            raise self._error("a translation has the suffix of its format", fix)

    @property
    def fields(self) -> frozenset[str]:
        """Return the placeholders."""
        return frozenset(field for _, field, _, _ in Formatter().parse(self.text) if field is not None)

    @property
    def needs_source_domain(self) -> bool:
        """Return whether the domain of a source is a part of the name."""
        return bool(self.fields & {"source", "source_number"})

    def path(self, source: Source, variant: Variant, domain: str | None, suffix: str | None) -> str:
        """Return the path of a translation; ``domain`` is that of the source, ``suffix`` another format or None."""
        values = {"name": PurePosixPath(source.name).with_suffix("").as_posix(), "target": variant.target_name}
        values |= {"source": domain or "", "style": variant.style_name or ""}
        for name in ("target", "source"):
            if f"{name}_number" in self.fields:
                values[f"{name}_number"] = self._number(values[name])
        if "style" in self.fields and variant.style_name is None:
            raise self._error("the model has no styles", "leave {style} out")
        safe = {name: value if name == "name" else safe_name(value) for name, value in values.items()}
        return self.text.format(**safe) + (PurePosixPath(source.name).suffix if suffix is None else f".{suffix}")

    def _number(self, domain: str) -> str:
        numbers = re.findall(r"\d+", domain)
        if len(numbers) != 1:
            raise self._error(
                f"the name of the domain {domain!r} has not one number", "{target} and {source} are names"
            )
        return str(numbers[0])

    def _error(self, statement: str, fix: str = "") -> UserError:
        return UserError(statement, key=KEY, found=self.text, fix=fix)


def default_path(source: Source, variant: Variant, suffix: str | None) -> str:
    """Return the path of the source, below folders of target and style where there are several."""
    name = source.name if suffix is None else Path(source.name).with_suffix(f".{suffix}").as_posix()
    return "/".join((*map(safe_name, variant.names), name))


def safe_name(name: str) -> str:
    """Return a name of a target or style as the name of a folder."""
    plain = "".join(sign if sign.isalnum() or sign in "-_+. " else "_" for sign in name).strip(". ")
    return plain or "_"


def source_domain(source: Source, domains: Sequence[str]) -> str | None:
    """Return the domain that a folder above a source names, else its file name; None if neither names exactly one.

    >>> source_domain(Source(Path("market/0002_c1s1_000451_03.jpg"), "0002_c1s1_000451_03.jpg"), ("c1", "c2"))
    'c1'
    """
    folder = domain_of(source.path, domains)
    if folder is not None:
        return folder
    named = [domain for domain in domains if _is_named(domain, source.path.stem)]
    return named[0] if len(named) == 1 else None


def _is_named(domain: str, text: str) -> bool:
    """Return whether a domain stands in a text, neither behind a letter or digit nor before more of its own kind."""
    more = r"\d" if domain[-1:].isdigit() else r"[^\W\d_]"
    return re.search(rf"(?<![^\W_]){re.escape(domain)}(?!{more})", text, re.IGNORECASE) is not None
