"""Resolution of every part of a map, from half maps, and the filter that follows it.

The local FSC (Cardone, Heymann and Steven 2013, J. Struct. Biol. 184, 226) compares the halves in a small window about
every voxel. Here a band of frequencies about f is cut out of both halves, and the correlation of the two over a
Gaussian window is

    c_f(x) = G * (m a_f b_f) / sqrt( G * (m a_f^2)  G * (m b_f^2) )

G the Gaussian, m the mask: three convolutions serve all voxels at once. The window grows with the wavelength (its
standard deviation is 1.5 / f), so that every frequency is judged on about as many waves: a window holds some 450
independent numbers of a band, and c_f of noise has a standard deviation of 0.05. The local resolution is where c_f,
with f rising, first falls below 0.143, as for the whole map. Beside a part that is much better resolved it comes out
somewhat too fine, since bands reach as far as their windows: by 5 to 10 % beside one of half the resolution.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.particles import Volume
from vitreous.volumes.filters import frequency_rfftn, low_pass
from vitreous.volumes.half_maps import CLAIM, check_halves
from vitreous.volumes.masks import check_mask

__all__ = ["LocalResolution", "local_filter", "local_resolution"]

_WINDOW_WAVES = 1.5  # standard deviation of the window, in wavelengths
_BAND = 0.25  # width of a band, as a share of its frequency
_BANDS = 24
_COARSEST_BOXES = 1.0 / 6.0  # of the box: the longest wave looked at
_TINY = 1e-30


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalResolution:
    """Resolution in Angstrom at every voxel, and what was looked at."""

    volume: Volume  # of resolutions; outside the mask, and where nothing is resolved, the coarsest one
    inside: np.ndarray  # bool, the voxels that were judged
    tested_A: tuple[float, ...]  # centres of the bands, coarsest first
    unresolved: float  # share of the voxels inside that do not reach the coarsest band

    def quantile(self, share: float) -> float:
        """The resolution that this share of the voxels inside reaches or surpasses."""
        return float(np.quantile(self.volume.data[self.inside], share))


def local_resolution(
    half1: Volume,
    half2: Volume,
    mask: Volume | None = None,
    *,
    threshold: float = CLAIM,
    coarsest_A: float | None = None,
    finest_A: float | None = None,
) -> LocalResolution:
    """Local resolution of two half maps (cubic, unfiltered).

    ``coarsest_A``: None is a sixth of the box; ``finest_A``: None is Nyquist. With a mask only its voxels above 0.5
    count. Eight transforms for each of 24 bands (fewer in a small box), in ten times the memory of a map. Raises
    ValueError for maps or a mask that do not belong together, and a range of resolutions that is empty.
    """
    check_halves(half1, half2)
    weight = np.ones_like(half1.data) if mask is None else check_mask(mask, half1).data
    bands = _bands(half1, coarsest_A, finest_A)
    found = np.full(half1.data.shape, 1.0 / bands[0], np.float32)
    active = weight > 0.5
    inside = active.copy()
    before, before_f, unresolved = np.ones_like(found), bands[0], 0.0
    for number, (f, curve) in enumerate(_local_correlations(half1, half2, weight, bands)):
        below = active & (curve < threshold)
        if number == 0:
            unresolved = float(below[inside].mean())
        else:
            share = (before[below] - threshold) / np.maximum(before[below] - curve[below], _TINY)
            found[below] = 1.0 / (before_f + np.clip(share, 0.0, 1.0) * (f - before_f))
        active &= ~below
        before, before_f = curve, f
    found[active] = 1.0 / bands[-1]
    return LocalResolution(
        volume=half1.with_data(found),
        inside=inside,
        tested_A=tuple(float(1.0 / f) for f in bands),
        unresolved=unresolved,
    )


def local_filter(volume: Volume, resolution: Volume, *, steps: int = 16) -> Volume:
    """A map whose every voxel is low-passed at its own resolution (``resolution``, in Angstrom, on the same grid).

    The map is filtered at ``steps`` frequencies between the coarsest and the finest resolution, and a voxel is
    interpolated between the two next to its own. Raises ValueError for another grid, and resolutions that are not
    positive numbers.
    """
    if resolution.data.shape != volume.data.shape:
        raise ValueError(
            f"resolution: expected the shape of the map, {volume.data.shape}, found {resolution.data.shape}"
        )
    if not (np.isfinite(resolution.data).all() and resolution.data.min() > 0):
        raise ValueError("resolution: expected positive numbers (Angstrom) at all voxels; is it a map of resolutions?")
    wanted = 1.0 / resolution.data
    cuts = np.linspace(float(wanted.min()), float(wanted.max()), steps if np.ptp(wanted) > 0 else 1)
    out = np.zeros_like(volume.data)
    for number, cut in enumerate(cuts):
        rising = np.ones_like(wanted) if number == 0 else (wanted - cuts[number - 1]) / (cut - cuts[number - 1])
        falling = np.ones_like(wanted) if cut == cuts[-1] else (cuts[number + 1] - wanted) / (cuts[number + 1] - cut)
        share = np.clip(np.minimum(rising, falling), 0.0, 1.0)
        if share.any():
            out += share * low_pass(volume, 1.0 / cut).data
    return volume.with_data(out)


def has_local_bands(volume: Volume, finest_A: float) -> bool:
    """Whether anything lies between the coarsest resolution that can be local in a box, and ``finest_A``."""
    return finest_A < _COARSEST_BOXES * volume.box_px * volume.pixel_size_A


def _bands(volume: Volume, coarsest_A: float | None, finest_A: float | None) -> np.ndarray:
    """Centres of the bands in 1/Angstrom, rising in equal steps of at least one Fourier pixel."""
    field = volume.box_px * volume.pixel_size_A
    low = 1.0 / (_COARSEST_BOXES * field if coarsest_A is None else coarsest_A)
    high = 1.0 / (2.0 * volume.pixel_size_A if finest_A is None else max(finest_A, 2.0 * volume.pixel_size_A))
    if not 0.0 < low < high:
        raise ValueError(
            f"local resolution: nothing lies between {1 / low:g} A (coarsest) and {1 / high:g} A (finest, not beyond "
            f"Nyquist, {2 * volume.pixel_size_A:g} A)"
        )
    count = int(np.clip(np.floor((high - low) * field) + 1, 2, _BANDS))
    return np.linspace(low, high, count)


def _local_correlations(
    half1: Volume, half2: Volume, weight: np.ndarray, bands: np.ndarray
) -> Iterator[tuple[float, np.ndarray]]:
    """(frequency, local correlation) of the bands."""
    shape = half1.data.shape
    fts = [torch.fft.rfftn(torch.from_numpy(np.ascontiguousarray(half.data))) for half in (half1, half2)]
    k = frequency_rfftn(shape, half1.pixel_size_A)
    mask = torch.from_numpy(np.ascontiguousarray(weight))
    one_pixel = 1.0 / (half1.box_px * half1.pixel_size_A)
    for f in bands.tolist():
        width = max(_BAND * f, 2.0 * one_pixel) / 2.355  # standard deviation of a Gaussian of that width at half height
        band = torch.exp(-0.5 * ((k - f) / width) ** 2)
        window = torch.exp(-2.0 * (torch.pi * k * _WINDOW_WAVES / f) ** 2)
        a, b = (torch.fft.irfftn(ft * band, s=shape) for ft in fts)
        cross, power_a, power_b = (
            torch.fft.irfftn(torch.fft.rfftn(mask * p) * window, s=shape) for p in (a * b, a * a, b * b)
        )
        norm = torch.sqrt(power_a.clamp_min(0.0) * power_b.clamp_min(0.0))
        yield f, torch.where(norm > 1e-6 * norm.max(), cross / norm.clamp_min(_TINY), torch.zeros_like(cross)).numpy()
