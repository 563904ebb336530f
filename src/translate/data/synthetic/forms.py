"""Quadratic forms in head units, which define shapes, and their conversion to pixels.

The form of a shape is a symmetric 3 x 3 matrix S, flattened to (9,). Its value at z = (u, v, 1) is ``z S z``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

Number = float | np.ndarray  # one for all images or (n,)


@lru_cache(maxsize=1024)
def _fixed(*values: float) -> np.ndarray:
    """Return the form (9,) of a shape that is the same in every image, from a cache."""
    return np.asarray(_varied(*(np.array([float(value)]) for value in values))[0])


def _varied(u: Number, v: Number, angle: Number, for_p: Number, for_q: Number, constant: Number) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    count = max(len(value) for value in (u, v, angle, for_p, for_q, constant) if isinstance(value, np.ndarray))
    rows = np.empty((count, 2, 3))
    rows[:, 0, 0], rows[:, 0, 1], rows[:, 0, 2] = cos * for_p, sin * for_p, -(cos * u + sin * v) * for_p
    rows[:, 1, 0], rows[:, 1, 1], rows[:, 1, 2] = -sin * for_q, cos * for_q, (sin * u - cos * v) * for_q
    form: np.ndarray = np.matmul(rows.swapaxes(1, 2), rows)
    form[:, 2, 2] += constant
    return form.reshape(count, 9)


def quadratic(u: Number, v: Number, angle: Number, for_p: Number, for_q: Number, constant: Number) -> np.ndarray:
    """Return the form for_p^2 p^2 + for_q^2 q^2 + constant: (9,) or (n, 9).

    (p, q) are the coordinates about (u, v), rotated by ``angle``.
    """
    values = u, v, angle, for_p, for_q, constant
    if any(isinstance(value, np.ndarray) for value in values):
        return _varied(*values)
    return _fixed(*(float(value) for value in values))


def linear(along_u: Number, along_v: Number, constant: Number) -> np.ndarray:
    """Return the form along_u * u + along_v * v + constant: (9,) or (n, 9)."""
    values = along_u, along_v, constant
    counts = [len(value) for value in values if isinstance(value, np.ndarray)]
    form = np.zeros((*counts[:1], 9))
    form[..., 2], form[..., 5], form[..., 8] = values
    return form


# From a form in (x, y, 1) to its coefficients between (1, y, y^2) and (x^2, x, 1).
_PLACES = np.array([0, 2, 8, 0, 1, 5, 0, 0, 4])
_TIMES = np.array([1.0, 2.0, 1.0, 0.0, 2.0, 2.0, 0.0, 0.0, 1.0])


def to_pixels(cos: np.ndarray, sin: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Return matrices (n, 9, 9) that convert a form in head units to coefficients of its value in pixels squared."""
    turn = np.zeros((len(unit), 3, 3))
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1], turn[:, 2, 2] = cos, sin, -sin, cos, 1
    turn *= unit[:, None, None]
    products = turn.swapaxes(1, 2)[:, :, None, :, None] * turn.swapaxes(1, 2)[:, None, :, None, :]
    products = products.reshape(-1, 9, 9)
    # A straight form is in S[0, 2] only, not in S[2, 0] too: hence the sum over both halves.
    products = products + products.reshape(-1, 3, 3, 9).swapaxes(1, 2).reshape(-1, 9, 9)
    return (products[:, _PLACES] * (0.5 * _TIMES)[:, None]).reshape(-1, 9, 9)
