"""Protocols: which translations of which images are compared with what. Figures of two protocols never compare."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """How the images of a figure are made; sources are all validation images of a domain, for every ordered pair."""

    name: str
    num_outputs: int  # translations of a source, each by a code or reference of its own
    weights: str | None  # the file of the network whose features are compared, a key of `weights.FILES`
    about: str


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "published",
            10,
            "inception_torchvision",
            "as the StarGAN v2 paper: figures compare with those of that paper and of its code, with nothing else",
        ),
        Protocol(
            "clean",
            10,
            "inception_fid",
            "standard Inception, antialiased resize: figures compare with those of clean-fid on the same images",
        ),
        Protocol(
            "local",
            1,
            None,
            "a judge trained on the run's own images: figures compare only with runs on the same data and image size",
        ),
        Protocol("paired", 1, None, "translations against the images that were wanted, of every validation pair"),
    )
}
"""The protocols by name."""
