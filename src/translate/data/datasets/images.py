"""Images without domains: all image files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from translate.data.datasets.base import ImageFiles, check_split, check_val_fraction, find_root, split_domain
from translate.data.images import list_images
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS


@DATASETS.register("images", provides=())
class Images(ImageFiles):
    """All image files below a folder, at any depth, without domains, such as MS-COCO.

    `root` is the folder of the training images, `val_root` that of the validation images; null holds out
    `val_fraction` of the files of `root` by the hash of their names. `crop`: "square" (centre), the side of a centred
    square in pixels, or "none" (squash).
    UserError for a root that is no folder, a folder without images, and domains.
    """

    def __init__(
        self,
        root: str,
        val_root: str | None = None,
        crop: str | int = "square",
        val_fraction: float = 0.05,
        *,
        split: str,
        domains: Sequence[str] | None = None,
    ) -> None:
        """List the files; see the class."""
        split = check_split(split)
        if domains:
            raise UserError(
                "this data set has no domains", key="domains", found=list(domains), expected="null", fix="data=folder"
            )
        key, place = ("val_root", val_root) if split == "val" and val_root is not None else ("root", root)
        try:
            home = find_root(place)
        except UserError as error:  # of the key root
            raise UserError.of(replace(error.problem, key=key)) from error
        names = list_images(home)
        if not names:
            raise UserError(key=key, found=Phrase(f"no image in {home}"), expected="a folder with image files")
        if val_root is None:
            check_val_fraction(val_fraction)
            names = split_domain(names, "images", val_fraction, split, home)
        super().__init__(home, names, crop)
