"""What the mean map leaves over of images at their poses, and how maps of differences fit it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vitreous.matching.expect import tiles_of
from vitreous.matching.workers import ordered_map
from vitreous.structures.class3d.state import Scene
from vitreous.structures.refine.images import PointImages, point_images

__all__ = ["Nuisance", "fits", "in_tiles", "residuals", "without_nuisance"]

TILE = 256  # particles worked on at a time
TILES_AHEAD = 4  # per thread, whose images are in memory
TURN_RAD = 0.02  # of finite differences
RIDGE = 1e-6  # of directions that are one


def in_tiles(
    scene: Scene, index: np.ndarray, function: Callable[[np.ndarray], Any]
) -> Iterator[tuple[np.ndarray, Any]]:
    """``(tile, function(tile))`` for tiles of particles, by the threads, a few tiles ahead, in order."""
    tiles = tiles_of(index, TILE) if len(index) else []
    size = TILES_AHEAD * scene.data.threads
    for i in range(0, len(tiles), size):
        some = tiles[i : i + size]
        yield from zip(some, ordered_map(function, some, scene.data.threads), strict=True)


def residuals(scene: Scene, tile: np.ndarray) -> PointImages:
    """Centred images less the slices of the mean map."""
    images = point_images(scene.data, tile, scene.points, scene.noise_power)
    slices = images.slices(scene.mean_ft, scene.rotation[tile])
    return replace(images, x=images.centred(scene.origin_A[tile]) - slices)


@dataclass(frozen=True, kw_only=True, eq=False)
class Nuisance:
    """Directions of m images in which they differ for reasons that are no change of structure.

    directions: (m, 6, P) complex; factor: (m, 6, 6) Cholesky's of their real products.
    """

    directions: torch.Tensor
    factor: torch.Tensor

    def removed(self, x: torch.Tensor) -> torch.Tensor:
        """What of x (m, P) is orthogonal to all directions."""
        flat = torch.view_as_real(self.directions).flatten(2)
        product = flat @ torch.view_as_real(x).flatten(1)[..., None]
        weight = torch.cholesky_solve(product, self.factor)
        gone = (weight.transpose(1, 2) @ flat)[:, 0].reshape(*x.shape, 2)
        return x - torch.view_as_complex(gone.contiguous())


def without_nuisance(scene: Scene, tile: np.ndarray) -> tuple[PointImages, Nuisance]:
    """Residuals without contrast and errors of the pose: less what slices of the mean map change by with these.

    A spread of contrast and errors of poses are the strongest components of many data sets: a map that is shifted
    explains all particles whose origins are wrong in its direction.
    """
    images = point_images(scene.data, tile, scene.points, scene.noise_power)
    rotation = scene.rotation[tile]
    slices = images.slices(scene.mean_ft, rotation)
    kx, ky = images.points.plane
    turned = [
        images.slices(scene.mean_ft, rotation @ Rotation.from_rotvec(TURN_RAD * axis).as_matrix()) - slices
        for axis in np.eye(3)
    ]
    every = torch.stack([slices, 1j * kx * slices, 1j * ky * slices, *turned], 1)
    flat = torch.view_as_real(every).flatten(2)
    norm = flat.norm(dim=2, keepdim=True).clamp_min(1e-20)
    flat = flat / norm
    gram = flat @ flat.transpose(1, 2) + RIDGE * torch.eye(flat.shape[1])
    nuisance = Nuisance(directions=every / norm, factor=torch.linalg.cholesky(gram))
    centred = images.centred(scene.origin_A[tile])
    return replace(images, x=nuisance.removed(centred)), nuisance


def fits(
    images: PointImages, volumes_ft: tuple[torch.Tensor, ...], rotation: np.ndarray, nuisance: Nuisance | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Products of residuals with the slices of volumes (m, K) and of these with each other (m, K, K), float64.

    A map D has the log likelihood ``2 product - square`` above that of nothing. nuisance: what has been removed from
    the images, and is from the slices.
    """
    slices = [images.slices(volume, rotation) for volume in volumes_ft]
    if nuisance is not None:
        slices = [nuisance.removed(one) for one in slices]
    product = torch.stack([_dot(one, images.x) for one in slices], 1)
    square = torch.stack([torch.stack([_dot(a, b) for b in slices], 1) for a in slices], 1)
    return product.double().numpy(), square.double().numpy()


def _dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Re <a, b> of every row."""
    return (torch.view_as_real(a) * torch.view_as_real(b)).sum((1, 2))
