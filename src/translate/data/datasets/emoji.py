"""Emoji in several drawing styles, a folder each, where equal names are the same emoji."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from translate.data.datasets.base import ImageFiles, check_split, choose_domains, find_root
from translate.data.images import list_images
from translate.errors import Phrase, UserError
from translate.registry.registry import DATASETS


@DATASETS.register("emoji", provides=("domain", "partner"))
class Emoji(ImageFiles):
    """Emoji in several drawing styles (`download data=emoji`): one domain a style.

    `root` holds a folder for each style with train/ and val/. Emoji that a chosen style lacks are left out of all, so
    every style has the same names, and held-out names are unseen in every style. `domains` chooses and orders styles.
    Two styles are pairs too: items k and k + N / 2 are the same emoji. `crop` as for class folders.
    UserError for a root that is no folder, a missing style, and styles without a common name.
    """

    def __init__(
        self, root: str, crop: str | int = "none", *, split: str, domains: Sequence[str] | None = None
    ) -> None:
        """List the files; see the class."""
        split = check_split(split)
        home = find_root(root)
        styles = sorted(name for name in os.listdir(home) if os.path.isdir(os.path.join(home, name, "train")))
        if not styles:
            fix = "python -m translate download data=emoji"
            raise UserError(f"{home} has no folder of a style with train/", key="root", fix=fix)
        self.domains = choose_domains(styles, domains, home)
        names = [set(list_images(os.path.join(home, style, split))) for style in self.domains]
        common = sorted(set.intersection(*names), key=os.fsencode)
        if not common:
            found = Phrase(", ".join(f"{len(own)} of {style}" for own, style in zip(names, self.domains, strict=True)))
            raise UserError(f"the styles have no {split} image of a common name", key="domains", found=found)
        super().__init__(home, [f"{style}/{split}/{name}" for style in self.domains for name in common], crop)
        count = len(common)
        self.domain = np.repeat(np.arange(len(self.domains)), count).astype(np.int64)
        if len(self.domains) == 2:
            self.partner = (np.arange(2 * count) + count) % (2 * count)
