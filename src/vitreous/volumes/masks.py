"""Soft masks of maps: balls, regions above a threshold, and masks that the map itself suggests.

A mask is a :class:`Volume` of values in 0..1 on the grid of the map it belongs to. Edges are raised cosines of the
distance, so that a masked map has no steps.
"""

from dataclasses import replace

import numpy as np
from scipy import ndimage

from vitreous.conventions import centre_index
from vitreous.particles import Volume
from vitreous.volumes.filters import low_pass

__all__ = ["apply_mask", "automatic_mask", "automatic_threshold", "check_mask", "spherical_mask", "threshold_mask"]

_PIXEL_TOLERANCE = 1e-3  # relative: headers keep few digits
_NOISE_SDS = 3.0  # above solvent: what reaches that by chance are islands, which the largest piece leaves out
_LEAST_OF_PEAK = 0.08  # density that is fainter than this is left out however small the noise
_EVERYTHING = 0.95
_TOUCHES = 1e-3


def spherical_mask(like: Volume, diameter_A: float, *, edge_A: float | None = None) -> Volume:
    """A ball of ``diameter_A`` about the centre of the grid of ``like``; 1 within, 0 from ``edge_A`` outside it.

    None: an edge of five voxels. Raises ValueError for a diameter that is not positive, or covers the
    whole box.
    """
    if not diameter_A > 0:
        raise ValueError(f"diameter_A: expected a positive number, found {diameter_A}")
    edge = 5.0 * like.pixel_size_A if edge_A is None else edge_A
    squared = np.zeros((1, 1, 1))
    for axis, n in enumerate(like.data.shape):
        shape = [1, 1, 1]
        shape[axis] = n
        squared = squared + ((np.arange(n) - centre_index(n)) * like.pixel_size_A).reshape(shape) ** 2
    distance = np.sqrt(squared) - 0.5 * diameter_A
    return check_mask(_like(like, _soft(distance, edge)), like, name=f"a ball of {diameter_A:g} A")


def threshold_mask(
    volume: Volume,
    threshold: float,
    *,
    extend_A: float,
    edge_A: float,
    low_pass_A: float | None = None,
    largest_piece: bool = False,
    fill_holes: bool = False,
) -> Volume:
    """What lies above a threshold, grown by ``extend_A`` and a soft edge of ``edge_A``: relion_mask_create's recipe.

    The map is filtered at ``low_pass_A`` before; of several pieces (connected over faces) only the largest may be
    kept, and holes within it filled. Distances are Euclidean: what grows is nearer than ``extend_A`` to a voxel above
    the threshold, and the edge depends on the distance from the nearest voxel of what has grown. Raises ValueError when
    that covers nothing or everything, with the range of densities.
    """
    density = volume if low_pass_A is None else low_pass(volume, low_pass_A)
    above = density.data > threshold
    low, high = float(density.data.min()), float(density.data.max())
    if not above.any():
        raise ValueError(f"mask: nothing is above the threshold {threshold:.4g}; the map lies in {low:.4g}..{high:.4g}")
    if largest_piece:
        pieces, count = ndimage.label(above)
        if count > 1:
            above = pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()
    if fill_holes:
        above = ndimage.binary_fill_holes(above)
    if above.all():
        raise ValueError(
            f"mask: everything is above the threshold {threshold:.4g}; the map lies in {low:.4g}..{high:.4g}"
        )
    grown = above | (_distance(above, volume) < extend_A * (1.0 - _TOUCHES))
    mask = _like(volume, _soft(_distance(grown, volume), edge_A))
    return check_mask(mask, volume, name=f"the mask at threshold {threshold:.4g}")


def automatic_mask(
    volume: Volume, *, resolution_A: float | None = None, extend_A: float | None = None, edge_A: float | None = None
) -> Volume:
    """A mask from the map alone, for instance the mean of the half maps.

    The map is filtered at 15 A or three times ``resolution_A`` or four pixels, whichever is coarsest, and cut at
    :func:`automatic_threshold`; the largest piece, with its holes filled, is grown by ``extend_A`` and given a soft
    edge of ``edge_A`` (None: three and five voxels, and at least a quarter and half of the filter's resolution). Raises
    ValueError where nothing stands out of the background, or everything does.
    """
    smooth = max(15.0, 3.0 * (resolution_A or 0.0), 4.0 * volume.pixel_size_A)
    smooth = min(smooth, min(volume.data.shape) * volume.pixel_size_A / 4.0)
    density = low_pass(volume, smooth)
    return threshold_mask(
        density,
        automatic_threshold(density),
        extend_A=max(3.0 * volume.pixel_size_A, 0.25 * smooth) if extend_A is None else extend_A,
        edge_A=max(5.0 * volume.pixel_size_A, 0.5 * smooth) if edge_A is None else edge_A,
        largest_piece=True,
        fill_holes=True,
    )


def automatic_threshold(density: Volume) -> float:
    """A threshold between background and particle, for a map that has been low-passed.

    The background is the mode of the densities (half-sample mode) with the spread of what lies below it, where there is
    no particle; the threshold is three such standard deviations above it, and at least 8 % of the way to the
    99.9th percentile. Raises ValueError for a map that is constant.
    """
    values = np.sort(density.data.ravel().astype(np.float64))
    if values[0] == values[-1]:
        raise ValueError("mask: the map is the same everywhere; nothing stands out of it")
    mode = _half_sample_mode(values)
    below = values[: np.searchsorted(values, mode)]
    spread = float(np.sqrt(np.mean((below - mode) ** 2))) if len(below) else 0.0
    # Rings of the CTF and of filters below the mode are few and deep: the median does not see them.
    robust = float(np.median(mode - below)) / 0.6745 if len(below) else 0.0
    top = float(np.quantile(values, 0.999))
    return mode + max(_NOISE_SDS * min(spread, robust), _LEAST_OF_PEAK * (top - mode))


def check_mask(mask: Volume, like: Volume, *, name: str = "the mask") -> Volume:
    """The mask, if it fits the map ``like`` and covers a part of it.

    Raises ValueError for another box or pixel size, values outside 0..1 or NaN, and a mask that covers nothing or
    everything; it says what to do.
    """
    if mask.data.shape != like.data.shape:
        raise ValueError(
            f"{name} has {_sides(mask)} voxels and the map {_sides(like)}; vitreous.volumes.resample brings it to the "
            "grid of the map"
        )
    if abs(mask.pixel_size_A - like.pixel_size_A) > _PIXEL_TOLERANCE * like.pixel_size_A:
        raise ValueError(
            f"{name} has voxels of {mask.pixel_size_A:g} A and the map of {like.pixel_size_A:g} A; "
            "vitreous.volumes.resample brings it to the grid of the map, or correct the header that is wrong"
        )
    low, high = float(mask.data.min()), float(mask.data.max())
    if not (np.isfinite([low, high]).all() and low >= -_TOUCHES and high <= 1.0 + _TOUCHES):
        raise ValueError(f"{name}: expected values from 0 to 1, found {low:.4g} to {high:.4g}; is it a map?")
    covered = float((mask.data > 0.5).mean())
    if covered == 0.0:
        raise ValueError(f"{name} covers nothing: no voxel is above 0.5 (largest {high:.3g})")
    if covered > _EVERYTHING:
        raise ValueError(f"{name} covers {covered:.0%} of the box: it masks nothing away; a higher threshold is needed")
    return mask


def apply_mask(volume: Volume, mask: Volume) -> Volume:
    """The map times the mask. Errors as :func:`check_mask`."""
    return volume.with_data(volume.data * check_mask(mask, volume).data)


def _half_sample_mode(ordered: np.ndarray) -> float:
    """Mode of sorted values (Robertson and Cryer 1974): the densest half, again and again."""
    while len(ordered) > 3:
        half = (len(ordered) + 1) // 2
        widths = ordered[half - 1 :] - ordered[: len(ordered) - half + 1]
        start = int(widths.argmin())
        if widths[start] == 0.0:
            return float(ordered[start])
        ordered = ordered[start : start + half]
    return float(ordered.mean())


def _distance(inside: np.ndarray, volume: Volume) -> np.ndarray:
    """Distance of every voxel from the nearest one inside, in Angstrom."""
    return ndimage.distance_transform_edt(~inside) * volume.pixel_size_A


def _soft(distance: np.ndarray, edge: float) -> np.ndarray:
    """1 where the distance is 0 or less, 0 from ``edge`` on."""
    if edge <= 0:
        return (distance <= 0).astype(np.float32)
    return (0.5 * (1.0 + np.cos(np.pi * np.clip(distance / edge, 0.0, 1.0)))).astype(np.float32)


def _like(volume: Volume, data: np.ndarray) -> Volume:
    return replace(volume, data=data)


def _sides(volume: Volume) -> str:
    return " x ".join(str(n) for n in volume.data.shape[::-1])
