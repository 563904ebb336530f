"""Evaluation protocols: which translations of which images are compared with which others.

Scores of two protocols are not comparable.
"""

from dataclasses import dataclass

Scores = dict[str, float]
"""Name of a score -> value, such as "FID, latent": the name, then the mode of translation."""


@dataclass(frozen=True)
class Protocol:
    """How translations are made. Sources are all validation images of a domain, for every ordered pair of domains."""

    name: str
    num_outputs: int  # translations of a source, each by its own code or reference
    weights: str | None  # the file of the network whose features are compared, a key of `weights.FILES`
    about: str
    of_translations: bool = True  # False: of the labels that a model itself predicts
    held_out_reals: bool = (
        False  # whether the real images are the validation images of the target, not the training ones
    )


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "official",
            10,
            "inception_torchvision",
            "as the official StarGAN v2 code: scores compare with those of that paper and code, with no others",
        ),
        Protocol(
            "clean",
            10,
            "inception_fid",
            "standard Inception, antialiased resize: scores compare with those of clean-fid on the same images",
        ),
        Protocol(
            "pytorch_fid",
            1,
            "inception_fid",
            "as the papers of CycleGAN's successors: pytorch-fid on the test images of both domains, which are few",
            held_out_reals=True,
        ),
        Protocol(
            "local",
            1,
            None,
            "a classifier trained on the run's own images: scores compare only at the same data and image size",
        ),
        Protocol(
            "independent",
            1,
            None,
            "features that saw neither the run's images nor their domains: compare at the same data and extractor",
        ),
        Protocol("paired", 1, None, "translations against their targets, of every validation pair"),
        Protocol(
            "classification",
            1,
            None,
            "the labels that the model itself predicts, of every validation image",
            of_translations=False,
        ),
        Protocol(
            "super_resolution",
            1,
            None,
            "whole images, reduced and enlarged, against themselves, by luma and without a border, as in the papers",
        ),
    )
}
"""The protocols by name."""

FORMER_NAMES = {"published": "official"}
"""Protocol names in scores files of earlier versions -> today's names."""
