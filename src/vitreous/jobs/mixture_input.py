"""What a ``mixture`` job is given: a map, one image or a cloud of points, read and made ready."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.mixtures import (
    FitData,
    MixtureFit,
    MixtureSampling,
    PointCloud,
    cloud_data,
    cloud_grid,
    grid_fit_data,
    prepare_map,
    read_points,
)
from vitreous.mixtures.fit.points import POINT_SUFFIXES
from vitreous.particles import Volume, read_particles, read_volume
from vitreous.quality import average_contrast, background_levels

__all__ = ["MixtureInput", "read_mixture_input"]

_GREY = 0.2  # of the highest value: a background that has not been taken off
IMAGE_SUFFIXES = (".mrcs", ".star", ".cs", ".st")
MAP_SUFFIXES = (".mrc", ".map", ".ccp4", ".rec")


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureInput:
    """Either ``kept`` and ``target`` (a map; an image has one section) or ``cloud`` is there."""

    path: Path
    kind: str  # "map", "image" or "points"
    data: FitData
    shape: tuple[int, ...]  # of the grid of the fit: (nz, ny, nx), or (ny, nx) for an image
    pixel_size_A: float
    description: str
    notes: tuple[str, ...] = ()
    kept: Volume | None = None  # as in the file, without what is below the threshold
    target: Volume | None = None  # as it is fitted
    cloud: PointCloud | None = None  # with its centre of mass at the origin
    centre_A: np.ndarray | None = None  # of the cloud in its file


def read_mixture_input(
    path: str | Path,
    settings: MixtureFit | MixtureSampling,
    *,
    pixel_size_A: float | None = None,
    image: int | None = None,
) -> MixtureInput:
    """Read and prepare an input; what it is follows from its name, or from ``image``, the number of one from 1.

    Raises FileNotFoundError, and ValueError that names the file, for what cannot be read or fitted.
    """
    path = Path(path)
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in POINT_SUFFIXES:
        if image is not None or pixel_size_A is not None:
            raise ValueError(f"{path}: holds points, which have neither an image number nor a pixel size; leave it out")
        return _points(path, settings)
    if image is None and suffix in MAP_SUFFIXES:
        found = read_volume(path, pixel_size_A=pixel_size_A)
        return _grid(path, found, settings, what=str(path), notes=())
    if suffix not in (*IMAGE_SUFFIXES, *MAP_SUFFIXES):
        known = ", ".join(dict.fromkeys((*MAP_SUFFIXES, *IMAGE_SUFFIXES, *POINT_SUFFIXES)))
        raise ValueError(f"{path}: expected a map, images or points, by the end of the name: {known}")
    return _image(path, settings, pixel_size_A, image)


def _image(
    path: Path, settings: MixtureFit | MixtureSampling, pixel_size_A: float | None, number: int | None
) -> MixtureInput:
    images = read_particles(path, pixel_size_A=pixel_size_A)
    chosen = 1 if number is None else number
    if not 1 <= chosen <= len(images):
        raise ValueError(f"{path}: has {len(images)} image(s), numbered from 1; found --image {chosen}")
    notes: tuple[str, ...] = ()
    if number is None and len(images) > 1:
        notes = (f"the first of {len(images):,} images is fitted; --image chooses another",)
    found = Volume(data=images.read(slice(chosen - 1, chosen)), pixel_size_A=images.pixel_size_A)
    notes = (*notes, *_not_a_density(found.data, settings.threshold, f"{path}, image {chosen}"))
    return _grid(path, found, settings, what=f"{path}, image {chosen}", notes=notes)


def _not_a_density(image: np.ndarray, threshold: float, what: str) -> tuple[str, ...]:
    """A note on a grey background in an image (1, L, L); ValueError for a particle darker than its background."""
    if not np.isfinite(image).all() or not (image > threshold).any():
        return ()  # refused later, in words of its own
    level, highest = float(background_levels(image)[0]), float(image.max())
    if threshold > level:
        return ()
    if average_contrast(image).verdict == "dark":
        raise ValueError(
            f"{what}: the particle is darker than its background, and a mixture would describe what is around it; turn "
            "the image over (multiply it by -1), or give a threshold above the background"
        )
    if not _GREY * highest < level < highest:
        return ()
    return (
        f"the background is {level:.3g} (highest value {highest:.3g}) and counts as density; give a higher threshold",
    )


def _grid(
    path: Path, found: Volume, settings: MixtureFit | MixtureSampling, *, what: str, notes: tuple[str, ...]
) -> MixtureInput:
    try:
        target = prepare_map(found, settings)
        data = grid_fit_data(target, settings.counts)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    flat = len(found.data) == 1
    reduced = (
        "" if target.data.shape == found.data.shape else f", fitted on {_sides(target)} of {target.pixel_size_A:.2f} Å"
    )
    return MixtureInput(
        path=path,
        kind="image" if flat else "map",
        data=data,
        shape=target.data.shape[1:] if flat else target.data.shape,
        pixel_size_A=target.pixel_size_A,
        description=f"{what}: {_sides(found)}, {found.pixel_size_A:g} Å{reduced}",
        notes=(*notes, *_cut_off(found, settings.threshold)),
        kept=Volume(data=np.where(found.data > settings.threshold, found.data, 0.0), pixel_size_A=found.pixel_size_A),
        target=target,
    )


def _points(path: Path, settings: MixtureFit | MixtureSampling) -> MixtureInput:
    cloud = read_points(path)
    centred = cloud.centred()
    shape, pixel = cloud_grid(centred, settings.box_px)
    total = int(cloud.times.sum())
    worth = "" if total == len(cloud) else f", which count {total:,} times"
    return MixtureInput(
        path=path,
        kind="points",
        data=cloud_data(centred),
        shape=shape,
        pixel_size_A=pixel,
        description=f"{path}: {len(cloud):,} points{worth}",
        cloud=centred,
        centre_A=cloud.centre_A,
    )


def _sides(volume: Volume) -> str:
    sides = volume.data.shape[1:] if len(volume.data) == 1 else volume.data.shape
    unit = "pixels" if len(sides) == 2 else "voxels"
    return f"{' x '.join(map(str, reversed(sides)))} {unit}"


def _cut_off(volume: Volume, threshold: float) -> tuple[str, ...]:
    """A note on what the threshold takes away, where it does."""
    below = volume.data < threshold
    if not below.any():
        return ()
    flat = len(volume.data) == 1
    what, unit = ("image", "pixels") if flat else ("map", "voxels")
    if threshold > 0:
        return (f"{below.mean():.0%} of the {unit} are below the threshold and were set to zero",)
    share = float(np.abs(volume.data[below]).sum() / np.abs(volume.data).sum())
    advice = (
        "`vitreous deconvolve --single` makes averages without a background, and a threshold above it does for others"
        if flat
        else "a threshold above the noise of the solvent fits better"
    )
    return (
        f"{below.mean():.0%} of the {unit} are negative ({share:.0%} of the {what}'s absolute sum) and were set to "
        f"zero, because a mixture describes densities; {advice}",
    )
