"""What a mixture is fitted to, made ready: maps and images on a grid, clouds of points."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from vitreous.mixtures.averages import pixel_shares
from vitreous.mixtures.counts import Counts
from vitreous.mixtures.em import Expected, broad_prior, expect_grid, expect_points, grid_data
from vitreous.mixtures.fit.points import PointCloud
from vitreous.mixtures.fit.settings import MixtureFit, MixtureSampling
from vitreous.mixtures.gibbs_points import Assigned, assign_image, assign_map, assign_points
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.priors import MixturePrior
from vitreous.particles import Volume

__all__ = ["FitData", "cloud_data", "cloud_grid", "grid_fit_data", "prepare_map"]

_WIDER = 1.15  # a box about a cloud, against the cloud
_LEAST_HALF_A = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FitData:
    """Points (n, d) from the origin that are met ``weights`` (n,) times, and the two questions of a fit about them."""

    points_A: np.ndarray
    weights: np.ndarray
    pixel_size_A: float  # how far a point may be from where it was seen: 0 for a cloud
    expect: Callable[[Mixture], Expected]
    assign: Callable[[Mixture, np.random.Generator], Assigned]

    @cached_property
    def total(self) -> float:
        """Number of counts."""
        return float(self.weights.sum())

    @cached_property
    def prior(self) -> MixturePrior:
        """Means as spread out as one Gaussian fitted to the data; the other defaults of the prior."""
        return broad_prior(self.points_A, self.weights)


def prepare_map(volume: Volume, settings: MixtureFit | MixtureSampling) -> Volume:
    """A map without what is below the threshold, on at most ``box_px`` voxels along its longest axis.

    The sides may differ; the origin is at index n // 2 of every axis. A map of one section is an image. Raises
    ValueError for NaN, and where nothing is above the threshold.
    """
    data = volume.data
    name = "image" if len(data) == 1 else "map"
    if not np.isfinite(data).all():
        raise ValueError(f"the {name} holds {np.count_nonzero(~np.isfinite(data))} value(s) that are NaN or infinite.")
    if not (data > settings.threshold).any():
        raise ValueError(
            f"nothing in the {name} is above the threshold {settings.threshold:g}: highest {data.max():.4g}."
        )
    kept = np.where(data > settings.threshold, data, 0.0).astype(np.float64)
    longest, pixel_old = max(data.shape), volume.pixel_size_A
    if longest <= settings.box_px:
        return Volume(data=kept, pixel_size_A=pixel_old)
    pixel = pixel_old * longest / settings.box_px
    axes = (1, 2) if len(data) == 1 else (0, 1, 2)
    for axis in axes:
        new = int(np.ceil(data.shape[axis] * settings.box_px / longest))
        along = pixel_shares(data.shape[axis], pixel_old, new, pixel, 0.0)
        kept = np.moveaxis(np.tensordot(along, kept, axes=(1, axis)), 0, axis)
    return Volume(data=kept * (pixel_old / pixel) ** len(axes), pixel_size_A=pixel)


def grid_fit_data(target: Volume, counts: float) -> FitData:
    """A map, or an image where there is one section, from :func:`prepare_map`, worth ``counts`` points."""
    flat = len(target.data) == 1
    grid = grid_data(target.data[0] if flat else target.data, target.pixel_size_A, counts)
    whole = Counts(counts=_whole(grid.values), pixel_size_A=target.pixel_size_A)
    return FitData(
        points_A=grid.points_A,
        weights=grid.weights,
        pixel_size_A=target.pixel_size_A,
        expect=partial(expect_grid, grid),
        assign=partial(assign_image if flat else assign_map, whole),
    )


def cloud_data(cloud: PointCloud) -> FitData:
    """A cloud of points, in its own frame."""
    times = cloud.times.astype(np.float64)
    return FitData(
        points_A=cloud.points_A,
        weights=times,
        pixel_size_A=0.0,
        expect=lambda mixture: expect_points(cloud.points_A, mixture, times),
        assign=partial(assign_points, cloud.points_A, counts=cloud.times),
    )


def cloud_grid(cloud: PointCloud, box_px: int) -> tuple[tuple[int, int, int], float]:
    """Shape and voxel size of a cube of ``box_px`` about the origin that holds a cloud."""
    half = max(float(np.abs(cloud.points_A).max()) * _WIDER, _LEAST_HALF_A)
    return (box_px,) * 3, 2.0 * half / box_px


def _whole(values: np.ndarray) -> np.ndarray:
    """Whole numbers whose running sums (along rows, then sections) differ from those of the values by half at most.

    Rounding every value by itself would lose the outskirts of a density, where a voxel has less than half a count.
    """
    return np.diff(np.rint(np.cumsum(values.ravel())), prepend=0.0).astype(np.int32).reshape(values.shape)
