"""The numbers of all independent streams of random numbers, for `translate.data.philox`.

A stream, once used, never changes its number or its meaning: another number would change every run of a seed.
"""

from enum import IntEnum

STREAMS_PER_SET = 1_000
"""Label set k of a joint data set (or update k of a step) has the streams ``STREAMS_PER_SET * k + Stream``."""

FIRST_PLUGIN_STREAM = 500
"""Streams of plug-ins have numbers from here to ``STREAMS_PER_SET - 1``; `Stream` stays below."""

FIRST_EVALUATION_STREAM = 0xE000_0000
"""Streams of evaluation begin here, two a translation task; training never reaches them."""


SYNTHETIC_WORLD = 0x63726974  # "crit"
"""The stream of the factors of the built-in world, at the positions of its indices; training never reaches it."""

SYNTHETIC_PAINTINGS = 0x7061696E  # "pain"
"""The stream of the style images that are drawn by program."""

INFERENCE_CODES = 0x636F6465  # "code"
"""The stream of the style codes that a translator draws for a seed, at the positions of the images."""

INFERENCE_NOISE = 0x6E6F6973  # "nois"
"""The stream of the noise from which an image is optimized, at position 0."""


class Stream(IntEnum):
    """The streams of training: views draw samples, `translate.data.module` the augmentation, steps those from 13 on."""

    DOMAIN = 0
    ITEM = 1
    TARGET = 2
    REFERENCE = 3
    REFERENCE2 = 4
    CODE = 5
    CODE2 = 6
    AUGMENT = 7
    AUGMENT_REFERENCE = 8
    AUGMENT_REFERENCE2 = 9
    ORDER = 10
    ITEM_B = 11
    AUGMENT_B = 12
    INTERPOLATION = 13  # between real and generated images, for a gradient penalty
    POOL = 14  # the queries of an image pool
    NOISE = 15  # added to features within a step
    DOMAIN_PAIR = 16  # of a batch, at the number of the batch
    WRONG_LABEL = 17  # labels that an image does not have
    SAMPLED_LABEL = 18  # labels of a generated image
    PLACES = 19  # in a map of features, at the number of the iteration
    FLIP = 20  # of a whole batch, at the number of the iteration
    SPOILT = 21  # how strong and how coarse the noise on real images is that a discriminator has to reject


def stream_of_set(number: int, stream: int) -> int:
    """Return the number that a stream has in label set (or update) ``number``, counted from 0.

    >>> stream_of_set(2, Stream.ORDER)
    2010
    """
    return STREAMS_PER_SET * number + stream
