"""What the mean map leaves over of images at their poses, and how maps of differences fit it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from vitreous.matching.expect import tiles_of
from vitreous.matching.workers import ordered_map
from vitreous.structures.class3d.state import Scene
from vitreous.structures.refine.images import PointImages, point_images

__all__ = ["fits", "in_tiles", "residuals"]

TILE = 256  # particles worked on at a time
TILES_AHEAD = 4  # per thread, whose images are in memory


def in_tiles(
    scene: Scene, index: np.ndarray, function: Callable[[np.ndarray], Any]
) -> Iterator[tuple[np.ndarray, Any]]:
    """``(tile, function(tile))`` for tiles of particles, by the threads, a few tiles ahead, in order."""
    tiles = tiles_of(index, TILE) if len(index) else []
    size = TILES_AHEAD * scene.data.threads
    for i in range(0, len(tiles), size):
        some = tiles[i : i + size]
        yield from zip(some, ordered_map(function, some, scene.data.threads), strict=True)


def residuals(scene: Scene, tile: np.ndarray, *, without_scale: bool = False) -> tuple[PointImages, torch.Tensor]:
    """Centred images less the slices of the mean map, and these slices (m, P).

    without_scale: less as much of the slice as there is in the image. A spread of contrast, which is no change of
    structure, is the strongest component of many data sets.
    """
    images = point_images(scene.data, tile, scene.points, scene.noise_power)
    slices = images.slices(scene.mean_ft, scene.rotation[tile])
    centred = images.centred(scene.origin_A[tile])
    if without_scale:
        scale = _dot(slices, centred) / _dot(slices, slices).clamp_min(1e-20)
        return replace(images, x=centred - scale[:, None] * slices), slices
    return replace(images, x=centred - slices), slices


def fits(
    images: PointImages, volumes_ft: tuple[torch.Tensor, ...], rotation: np.ndarray, without: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Products of residuals with the slices of volumes (m, K) and of these with each other (m, K, K), float64.

    A map D has the log likelihood ``2 product - square`` above that of nothing. without: (m, P) a direction that has
    been taken from the images, and is taken from the slices.
    """
    slices = [images.slices(volume, rotation) for volume in volumes_ft]
    if without is not None:
        norm = _dot(without, without).clamp_min(1e-20)
        slices = [one - (_dot(without, one) / norm)[:, None] * without for one in slices]
    product = torch.stack([_dot(one, images.x) for one in slices], 1)
    square = torch.stack([torch.stack([_dot(a, b) for b in slices], 1) for a in slices], 1)
    return product.double().numpy(), square.double().numpy()


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Re <a, b> of every row."""
    return (torch.view_as_real(a) * torch.view_as_real(b)).sum((1, 2))
