"""Drawings to try multivariate analysis on: eight faces, and a ring of subunits of which some parts vary.

Both are made of simple shapes that are evaluated where a pixel lies, so a turned and shifted image is drawn and not
interpolated: ``X(r) = A(R(psi) (r + o))`` of :mod:`vitreous.conventions`. Lengths are fractions of the box.
"""

import numpy as np

from vitreous.conventions import centre_index
from vitreous.randomness import normal_images

__all__ = ["FACES", "FACE_FEATURES", "RING_PARTS", "face_images", "ring_images", "with_white_noise"]

FACE_FEATURES = ("oval outline", "narrow eyes", "sad mouth")  # a face has each of them or not: 2^3 faces
FACES = 1 << len(FACE_FEATURES)
RING_PARTS = ("hub", "arm", "subunit")  # the parts of the ring that vary
_EDGE_PX = 1.0  # over which a shape fades out
_SUBUNITS = 6
_SUBUNIT_THAT_VARIES = 4
_Shape = np.ndarray  # 1 inside, 0 outside


def face_images(
    box_px: int, kind: np.ndarray, *, psi_deg: np.ndarray | None = None, origin_px: np.ndarray | None = None
) -> np.ndarray:
    """Faces without noise: float32 (m, n, n), 0 outside the face.

    kind: (m,) whole numbers from 0 to 7, whose bits say which of ``FACE_FEATURES`` a face has; psi_deg: (m,) and
    origin_px: (m, 2) poses. Raises ValueError for another kind.
    """
    number = np.asarray(kind)
    if number.size and not (number.min() >= 0 and number.max() < FACES):
        raise ValueError(f"kind: expected numbers from 0 to {FACES - 1}, found {number.min()} to {number.max()}")
    x, y = _coordinates(box_px, len(number), psi_deg, origin_px)
    oval, narrow, sad = (((number >> bit) & 1)[:, None, None] for bit in range(3))
    head = _ellipse(x, y, box_px * np.where(oval, 0.29, 0.36), box_px * 0.36)
    eyes = sum(
        _ellipse(x - side * 0.13 * box_px, y + 0.1 * box_px, 0.085 * box_px, box_px * np.where(narrow, 0.025, 0.085))
        for side in (-1, 1)
    )
    mouth = _arc(x, y - 0.17 * box_px, np.where(sad, -1.0, 1.0), box_px)
    nose = _ellipse(x, y - 0.04 * box_px, 0.022 * box_px, 0.05 * box_px)
    return (head * (1.0 - 0.9 * np.minimum(eyes + mouth + 0.6 * nose, 1.0))).astype(np.float32)


def ring_images(
    box_px: int, parts: np.ndarray, *, psi_deg: np.ndarray | None = None, origin_px: np.ndarray | None = None
) -> np.ndarray:
    """Rings of six subunits without noise: float32 (m, n, n).

    parts: (m, 3) how much there is of each of ``RING_PARTS``, 0 for none and 1 for all of it: a hub in the middle of
    the ring, an arm that reaches out of it, and one of the six subunits.
    """
    share = np.asarray(parts, np.float64)
    x, y = _coordinates(box_px, len(share), psi_deg, origin_px)
    amount = share[:, :, None, None]
    image = _ellipse(x, y, 0.25 * box_px, 0.25 * box_px) - _ellipse(x, y, 0.19 * box_px, 0.19 * box_px)
    image = 0.5 * image
    for k in range(_SUBUNITS):
        there = amount[:, 2] if k == _SUBUNIT_THAT_VARIES else 1.0
        image = image + there * _blob(x, y, 60.0 * k, 0.24 * box_px, 0.055 * box_px)
    image = image + amount[:, 0] * _blob(x, y, 0.0, 0.0, 0.06 * box_px)
    image = image + amount[:, 1] * _blob(x, y, 30.0, 0.36 * box_px, 0.045 * box_px)
    return image.astype(np.float32)


def with_white_noise(clean: np.ndarray, snr: float, *, seed: int = 0, first: int = 0) -> np.ndarray:
    """Images (m, n, n) plus white noise, divided by the standard deviation of the noise: float32.

    snr: mean variance of a clean image, over all its pixels, by that of the noise; first: number of the first image,
    since the noise belongs to the image.
    """
    sd = float(np.sqrt(clean.var(axis=(1, 2), dtype=np.float64).mean() / snr))
    ids = np.arange(first, first + len(clean))
    noise: np.ndarray = normal_images(seed, "noise of drawings", ids=ids, box_px=clean.shape[-1])
    return noise + (clean / sd).astype(np.float32)


def _coordinates(
    n: int, m: int, psi_deg: np.ndarray | None, origin_px: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """x, y in the drawing of every pixel, in pixels from the centre; (m, n, n) or (1, n, n)."""
    axis = np.arange(n) - centre_index(n)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    origin = np.zeros((1, 2)) if origin_px is None else np.asarray(origin_px, np.float64).reshape(m, 2)
    angle = np.zeros(1) if psi_deg is None else np.deg2rad(np.asarray(psi_deg, np.float64)).reshape(m)
    at_x, at_y = x + origin[:, :1, None], y + origin[:, 1:, None]
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return c * at_x - s * at_y, s * at_x + c * at_y


def _inside(distance_px: np.ndarray) -> _Shape:
    """1 where a distance from an edge is negative, 0 where it is positive, fading in between."""
    return np.clip(0.5 - distance_px / _EDGE_PX, 0.0, 1.0)


def _ellipse(x: np.ndarray, y: np.ndarray, a: float | np.ndarray, b: float | np.ndarray) -> _Shape:
    return _inside((np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1.0) * np.minimum(a, b))


def _arc(x: np.ndarray, y: np.ndarray, up: np.ndarray, n: int) -> _Shape:
    """A mouth about (0, 0): corners up (+1; y runs downwards) or down (-1)."""
    bow = up * (0.05 * n - 0.09 * n * (x / (0.13 * n)) ** 2)
    return _inside(np.abs(y - bow) - 0.03 * n) * _inside(np.abs(x) - 0.14 * n)


def _blob(x: np.ndarray, y: np.ndarray, angle_deg: float, radius: float, width: float) -> _Shape:
    angle = np.deg2rad(angle_deg)
    squared = (x - radius * np.cos(angle)) ** 2 + (y - radius * np.sin(angle)) ** 2
    return np.exp(-squared / (2 * width**2))
