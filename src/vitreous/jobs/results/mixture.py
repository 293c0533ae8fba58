"""The result files of a ``mixture`` job, written and read back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.mixture_input import MixtureInput
from vitreous.mixtures import (
    Mixture,
    MixtureSamples,
    PointCloud,
    evaluate,
    read_pseudo_atoms,
    translate,
    write_pseudo_atoms,
)
from vitreous.particles import Table, Volume, read_volume, write_star, write_volume
from vitreous.quality import resolution_at, ring_correlation, shell_correlation
from vitreous.simulate import gaussian_density

__all__ = ["FILES", "MixtureFolder", "in_equal_sides", "read_mixture", "write_mixture"]

ATOMS, TARGET, CURVE = "mixture.cif", "mixture_target.mrc", "mixture_correlation.star"
MEAN, VARIANCE = "mixture_mean.mrc", "mixture_variance.mrc"
FILES = (
    "mixture.mrc",
    "mixture_mean.mrc",
    "mixture_target.mrc",
    "mixture_variance.mrc",
    "mixture_correlation.star",
    "mixture.cif",
    "mixture.pdb",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class MixtureFolder:
    """All on the grid of the fit, an image with one section; ``mixture`` counts from its centre."""

    target: Volume
    mixture: Mixture
    compared: Volume  # with the target: the mixture or, after Gibbs sampling, the posterior mean
    variance: Volume | None  # after Gibbs sampling


def write_mixture(
    folder: Path,
    found: MixtureInput,
    mixture: Mixture,
    samples: MixtureSamples | None,
    *,
    log: Callable[[str], object],
) -> dict[str, float]:
    """Write results; the figures for ``job.json``: correlation with the map above the threshold, where FSC is 0.5.

    ``mixture.cif`` and, where its columns are wide enough, ``mixture.pdb``; ``mixture.mrc``, ``mixture_target.mrc``,
    ``mixture_correlation.star``; of samples also ``mixture_mean.mrc`` and ``mixture_variance.mrc``, which are then
    what the figures are about.
    """
    kept, target = _references(found, mixture)
    _write_atoms(folder, found, mixture, log)
    fitted = _fitted_density(mixture, kept)
    write_volume(folder / "mixture.mrc", fitted)
    write_volume(folder / TARGET, target)
    if samples is not None:
        scale = _integral(target)
        shape, pixel = target.data.shape, target.pixel_size_A
        kept, fitted = target, Volume(data=samples.mean.reshape(shape) * scale, pixel_size_A=pixel)
        write_volume(folder / MEAN, fitted)
        write_volume(folder / VARIANCE, Volume(data=samples.variance.reshape(shape) * scale**2, pixel_size_A=pixel))
    if found.cloud is not None:
        fitted = _blurred_map(fitted, mixture.sigma_A)
    curve, side = _correlation_curve(fitted.data, kept.data)
    write_star(folder / CURVE, {"": _curve_table(curve, side * kept.pixel_size_A)})
    resolution = float(resolution_at(curve, 0.5, side, kept.pixel_size_A))
    return {
        "correlation": round(float(np.corrcoef(fitted.data.ravel(), kept.data.ravel())[0, 1]), 4),
        "resolution_of_agreement_A": round(resolution, 2),
    }


def read_mixture(folder: str | Path) -> MixtureFolder:
    """Read what :func:`write_mixture` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    missing = [name for name in (ATOMS, TARGET, CURVE) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished fit of a mixture")
    target, mixture = read_volume(path / TARGET), read_pseudo_atoms(path / ATOMS)
    manifest = read_manifest(path)
    centre = manifest.summary.get("centre_of_points_A") if manifest else None
    if centre:
        mixture = translate(mixture, -np.array(centre))
    if len(target.data) == 1:
        mixture = replace(mixture, means_A=mixture.means_A[:, :2])
    sampled = (path / MEAN).is_file()
    compared = read_volume(path / MEAN) if sampled else _fitted_density(mixture, target)
    return MixtureFolder(
        target=target,
        mixture=mixture,
        compared=_blurred_map(compared, mixture.sigma_A) if centre else compared,
        variance=read_volume(path / VARIANCE) if sampled else None,
    )


def in_equal_sides(values: np.ndarray) -> np.ndarray:
    """An image or map with zeros about it, so that all sides are equal; the origin goes from n // 2 to N // 2."""
    side = max(values.shape)
    before = [side // 2 - n // 2 for n in values.shape]
    return np.pad(values, [(b, side - n - b) for b, n in zip(before, values.shape, strict=True)])


def _references(found: MixtureInput, mixture: Mixture) -> tuple[Volume, Volume]:
    """What the mixture is compared with, on the grid of the file and on that of the fit."""
    if found.kept is not None and found.target is not None:
        return found.kept, found.target
    if found.cloud is None:
        raise ValueError("neither a map nor points")
    blurred = _blurred_points(found.cloud, mixture.sigma_A, found.shape[0], found.pixel_size_A)
    return blurred, blurred


def _blurred_points(cloud: PointCloud, sigma_A: float, box_px: int, pixel_size_A: float) -> Volume:
    """Every point as a Gaussian of the size of a component: what a mixture blurred alike is compared with."""
    density = gaussian_density(cloud.points_A, cloud.times, _blur(sigma_A, pixel_size_A), box_px, pixel_size_A)
    return Volume(data=density.numpy(), pixel_size_A=pixel_size_A)


def _blurred_map(volume: Volume, sigma_A: float) -> Volume:
    pixel = volume.pixel_size_A
    return Volume(data=gaussian_filter(volume.data, _blur(sigma_A, pixel) / pixel, mode="constant"), pixel_size_A=pixel)


def _blur(sigma_A: float, pixel_size_A: float) -> float:
    """Never so narrow that the grid could not show it."""
    return max(sigma_A, 0.6 * pixel_size_A)


def _fitted_density(mixture: Mixture, target: Volume) -> Volume:
    """The mixture on the grid of a map (one section: an image), with the sum of the map."""
    shape = target.data.shape[-mixture.dimension :]
    density = evaluate(mixture, shape, target.pixel_size_A) * _integral(target)
    return Volume(data=density.reshape(target.data.shape), pixel_size_A=target.pixel_size_A)


def _integral(volume: Volume) -> float:
    dimension = 2 if len(volume.data) == 1 else 3
    return float(volume.data.sum(dtype=np.float64)) * volume.pixel_size_A**dimension


def _write_atoms(folder: Path, found: MixtureInput, mixture: Mixture, log: Callable[[str], object]) -> None:
    """Pseudo-atoms: those of an image at z = 0, those of points in the frame of their file."""
    atoms = mixture
    if mixture.dimension == 2:
        atoms = replace(mixture, means_A=np.pad(mixture.means_A, ((0, 0), (0, 1))))
    if found.centre_A is not None:
        atoms = translate(atoms, found.centre_A)
    write_pseudo_atoms(folder / ATOMS, atoms)
    try:
        write_pseudo_atoms(folder / "mixture.pdb", atoms)
    except ValueError as error:
        log(f"not written: {error}")


def _correlation_curve(a: np.ndarray, b: np.ndarray) -> tuple[torch.Tensor, int]:
    """Fourier ring or shell correlation, and the side of the box that it is about."""
    flat = len(a) == 1
    one, two = (torch.from_numpy(in_equal_sides(v[0] if flat else v)) for v in (a, b))
    return (ring_correlation if flat else shell_correlation)(one, two), one.shape[-1]


def _curve_table(curve: torch.Tensor, extent_A: float) -> Table:
    return Table.from_arrays(
        {
            "rlnSpectralIndex": np.arange(len(curve)),
            "rlnResolution": np.round(np.arange(len(curve)) / extent_A, 6),
            "rlnFourierShellCorrelationUncorrected": np.round(curve.numpy(), 6),
        }
    )
