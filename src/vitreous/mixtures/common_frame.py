"""Conformations in one frame and of one hand, so that their maps can be compared and images change between them."""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.conformations import PosedMixtures
from vitreous.mixtures.model import evaluate, mirror, rotate, translate
from vitreous.quality import MapAlignment, align_maps
from vitreous.rotations import mirrored_poses

__all__ = ["in_one_frame"]

_BOX_PX = 40
_RESOLUTION_PX = 3.0


def in_one_frame(
    model: PosedMixtures, group: np.ndarray, *, field_A: float, hands: tuple[bool, ...] = (False, True)
) -> PosedMixtures:
    """Every conformation turned, moved and, where ``hands`` allow, mirrored onto the one with most images.

    Poses and offsets follow, so that no image changes. ``field_A`` is the side of the box for the maps. Empty
    conformations stay. With a point group nothing is done: the axes are common, and the rest is as it began.
    """
    images = np.bincount(model.labels, minlength=len(model.mixtures))
    largest = int(images.argmax())
    if len(group) > 1:
        return model
    for c in np.flatnonzero(images):
        if c != largest:
            model = _moved(model, int(c), _alignment(model, int(c), largest, field_A, hands))
    return model


def _alignment(model: PosedMixtures, moving: int, onto: int, field_A: float, hands: tuple[bool, ...]) -> MapAlignment:
    pixel = field_A / _BOX_PX
    maps = [evaluate(model.mixtures[c], _BOX_PX, pixel) for c in (moving, onto)]
    return align_maps(maps[0], pixel, maps[1], pixel, resolution_A=_RESOLUTION_PX * pixel, hands=hands)


def _moved(model: PosedMixtures, conformation: int, by: MapAlignment) -> PosedMixtures:
    """A point mu goes to A F^hand mu + d; the pose to A F^hand G F^hand, the offset to what keeps the image."""
    rows = model.labels == conformation
    mixture, rotations, offsets = model.mixtures[conformation], model.rotations.copy(), model.offsets_A.copy()
    if by.other_hand:
        mixture, rotations[rows] = mirror(mixture), mirrored_poses(rotations[rows])
    rotations[rows] = by.rotation @ rotations[rows]
    offsets[rows] -= by.shift_A @ rotations[rows][:, :, :2]
    moved = translate(rotate(mixture, by.rotation), by.shift_A)
    mixtures = tuple(moved if c == conformation else m for c, m in enumerate(model.mixtures))
    return replace(model, mixtures=mixtures, rotations=rotations, offsets_A=offsets)
