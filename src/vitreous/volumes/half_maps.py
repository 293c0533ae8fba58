"""What two half maps say about resolution: FSC unmasked, masked, with random phases, corrected; and whether it is one.

A mask correlates neighbouring Fourier coefficients, and with them whatever the two masked maps have in common: the mask
itself. How much of a masked FSC that is, maps with random phases beyond a frequency tell (Chen et al. 2013,
Ultramicroscopy 135, 24): where these correlate by FSC_n, the corrected curve is (FSC_t - FSC_n) / (1 - FSC_n).

Chance. For two independent maps of noise the FSC of a shell has mean 0 and variance 1 / m, m the number of independent
real numbers in it: the number of its coefficients times the share of the box that holds noise. A resolution is stated
only where the first shells together correlate beyond chance without any mask, because a mask that was made from the
mean of the halves has seen what they have in common.

Where a curve falls slowly, chance decides where it crosses 0.143. Fisher's transform of a correlation has the standard
error 1 / sqrt(m), so ``tanh(atanh FSC - 1.645 / sqrt(m))`` is what the FSC exceeds with a probability of 95 %.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from vitreous.fourier import shell_sums
from vitreous.particles import Volume
from vitreous.quality import resolution_at
from vitreous.volumes.masks import check_mask
from vitreous.volumes.shells import fsc_of_products, multiplicity, shell_index, shell_products

__all__ = ["CLAIM", "HalfMapFSC", "check_halves", "correct_fsc", "half_map_fsc", "mean_of_halves", "randomise_phases"]

CLAIM = 0.143  # of the FSC of halves, where the sum of both correlates with the truth by 0.5
_RANDOMISE_BELOW = 0.8  # of the unmasked FSC, as RELION has it
_MARGIN_SHELLS = 2  # the soft edge of a mask carries over this far
_SIGNIFICANT_SDS = 5.0
_ONE_SIDED_95 = 1.645
_SAME = 1e-10


@dataclass(frozen=True, kw_only=True, eq=False)
class HalfMapFSC:
    """Fourier shell correlations of two half maps, one value per Fourier pixel of radius (n // 2 + 1)."""

    box_px: int
    pixel_size_A: float
    unmasked: np.ndarray
    masked: np.ndarray  # without a mask the unmasked one
    randomised: np.ndarray  # of the masked maps with random phases from shell ``randomised_from`` on; 0 before
    corrected: np.ndarray
    randomised_from: int
    significance: float  # standard deviations by which the first unmasked shells correlate beyond chance, at the best
    numbers: np.ndarray  # independent real numbers that each shell of the masked maps holds

    @property
    def frequency_per_A(self) -> np.ndarray:
        """Of the shells, in 1/Angstrom."""
        return np.arange(len(self.unmasked)) / (self.box_px * self.pixel_size_A)

    @property
    def resolution_A(self) -> float:
        """Where the corrected curve first falls below 0.143; inf when nothing is resolved beyond chance.

        Never finer than Nyquist: a curve that does not fall gives the last shell (see ``reaches_nyquist``).
        """
        if self.significance < _SIGNIFICANT_SDS:
            return float("inf")
        return self.resolution_of(self.corrected, CLAIM)

    @property
    def certain(self) -> np.ndarray:
        """What the corrected FSC exceeds with a probability of 95 %, shell by shell."""
        known = np.arctanh(np.clip(self.corrected, -0.999999, 0.999999))
        return np.tanh(known - _ONE_SIDED_95 / np.sqrt(np.maximum(self.numbers, 1.0)))

    @property
    def certain_resolution_A(self) -> float:
        """Where the lower bound ``certain`` first falls below 0.143; inf when nothing is resolved beyond chance."""
        if self.significance < _SIGNIFICANT_SDS:
            return float("inf")
        return self.resolution_of(self.certain, CLAIM)

    @property
    def reaches_nyquist(self) -> bool:
        """Whether the corrected curve stays above 0.143 to the last shell: the pixels limit the resolution."""
        return bool(self.significance >= _SIGNIFICANT_SDS and (self.corrected[1:] >= CLAIM).all())

    def resolution_of(self, curve: np.ndarray, threshold: float) -> float:
        """Where a curve (n // 2 + 1) first falls below a threshold; inf when it does in shell 1."""
        return float(resolution_at(torch.from_numpy(curve), threshold, self.box_px, self.pixel_size_A))


def half_map_fsc(
    half1: Volume, half2: Volume, mask: Volume | None = None, *, finest_A: float | None = None, seed: int = 0
) -> HalfMapFSC:
    """The curves of two half maps (cubic, unfiltered and unmasked), and what they claim.

    Phases are randomised from the first shell at which the unmasked FSC is below 0.8; from two shells further on the
    masked curve is corrected. ``finest_A``: the images held nothing finer, and the corrected curve is 0 there, whatever
    correlates. ``seed`` is that of the phases. Raises ValueError for maps that do not belong together
    (:func:`check_halves`) and a mask that does not fit.
    """
    check_halves(half1, half2)
    a, b = (torch.from_numpy(np.ascontiguousarray(half.data)) for half in (half1, half2))
    unmasked = _curve(a, b)
    start = _first_below(unmasked, _RANDOMISE_BELOW)
    masked, randomised, numbers = unmasked, np.zeros_like(unmasked), _numbers(a, b)
    if mask is not None:
        weight = torch.from_numpy(check_mask(mask, half1).data)
        masked, numbers = _curve(a * weight, b * weight), _numbers(a * weight, b * weight)
        if start < len(unmasked):
            random = (randomise_phases(half, start, seed=2 * seed + i) for i, half in enumerate((a, b)))
            randomised = _curve(*(half * weight for half in random))
            randomised[:start] = 0.0
    corrected = correct_fsc(masked, randomised, start)
    if finest_A is not None:
        corrected[max(1, int(half1.box_px * half1.pixel_size_A / finest_A)) :] = 0.0
    return HalfMapFSC(
        box_px=half1.box_px,
        pixel_size_A=half1.pixel_size_A,
        unmasked=unmasked,
        masked=masked,
        randomised=randomised,
        corrected=corrected,
        randomised_from=start,
        significance=_significance(unmasked, _numbers(a, b)),
        numbers=numbers,
    )


def correct_fsc(masked: np.ndarray, randomised: np.ndarray, start: int) -> np.ndarray:
    """(FSC_t - FSC_n) / (1 - FSC_n) from two shells after ``start``, FSC_t before: curves (..., n // 2 + 1)."""
    chance = np.clip(randomised, 0.0, 0.999)
    corrected = (masked - chance) / (1.0 - chance)
    early = np.arange(masked.shape[-1]) < start + _MARGIN_SHELLS
    return np.where(early, masked, corrected)


def randomise_phases(volume: torch.Tensor, start: int, *, seed: int) -> torch.Tensor:
    """A map (n, n, n) with its amplitudes, and from shell ``start`` on with the phases of white noise."""
    n = volume.shape[-1]
    noise = torch.randn(volume.shape, generator=torch.Generator().manual_seed(seed), dtype=volume.dtype)
    ft, other = torch.fft.rfftn(volume), torch.fft.rfftn(noise)
    other *= ft.abs() / other.abs().clamp_min(torch.finfo(volume.dtype).tiny)
    return torch.fft.irfftn(torch.where(shell_index(n) >= start, other, ft), s=volume.shape)


def check_halves(half1: Volume, half2: Volume) -> None:
    """Raises ValueError unless two maps can be the halves of one: same cube, same pixels, different noise, no NaN."""
    one, two = half1.data.shape, half2.data.shape
    if one != two or len(set(one)) > 1:
        raise ValueError(
            f"half maps: expected two cubic maps of the same box, found {one[2]} x {one[1]} x {one[0]} and "
            f"{two[2]} x {two[1]} x {two[0]} voxels"
        )
    if abs(half1.pixel_size_A - half2.pixel_size_A) > 1e-3 * half1.pixel_size_A:
        raise ValueError(
            f"half maps: pixel sizes {half1.pixel_size_A:g} and {half2.pixel_size_A:g} A differ: are they of one "
            "refinement? Correct the header that is wrong"
        )
    for name, half in (("first", half1), ("second", half2)):
        if not np.isfinite(half.data).all():
            raise ValueError(
                f"half maps: the {name} holds {np.count_nonzero(~np.isfinite(half.data))} NaN or infinite values"
            )
        if half.data.max() == half.data.min():
            raise ValueError(f"half maps: the {name} has the same value everywhere")
    if np.corrcoef(half1.data.ravel(), half2.data.ravel())[0, 1] > 1.0 - _SAME:
        raise ValueError(
            "half maps: both are the same map, so that their FSC is 1 everywhere, which is not a resolution. Give the "
            "maps of two halves of the particles that were refined apart"
        )


def mean_of_halves(half1: Volume, half2: Volume) -> Volume:
    """The map of all particles, where both halves are of one size: the mean of the two."""
    return half1.with_data(0.5 * (half1.data + half2.data))


def _curve(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    return fsc_of_products(*shell_products(torch.fft.rfftn(a), torch.fft.rfftn(b))).numpy()


def _first_below(curve: np.ndarray, threshold: float) -> int:
    """The first shell from 1 on; the number of shells where there is none."""
    below = np.flatnonzero(~(curve[1:] >= threshold))
    return int(below[0]) + 1 if len(below) else len(curve)


def _significance(curve: np.ndarray, numbers: np.ndarray) -> float:
    """The largest correlation of the first shells together, in its standard deviations under chance."""
    alive = numbers > 0
    curve, numbers = curve[alive], numbers[alive]
    sums = np.cumsum(numbers * curve) / np.sqrt(np.cumsum(numbers))
    return float(sums.max()) if len(sums) else 0.0


def _numbers(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Independent real numbers in every shell (n // 2 + 1); 0 in shell 0 and where a map has nothing.

    Whatever the amplitudes, products of coefficients with independent phases have mean 0 and variance |A|^2 |B|^2 / 2.
    Noise that fills only a share of the box has fewer independent coefficients; the share is
    ``(sum p)^2 / (N sum p^2)`` of the local power p of both maps.
    """
    n = a.shape[-1]
    ft_a, ft_b = torch.fft.rfftn(a), torch.fft.rfftn(b)
    cross, power_a, power_b = shell_products(ft_a, ft_b)
    products = (ft_a.abs().to(torch.float64) * ft_b.abs() * multiplicity(n)) ** 2
    variance = 0.5 * shell_sums(products, shell_index(n), n // 2 + 1)
    alive = fsc_of_products(cross, power_a, power_b) != 0
    alive[0] = False
    local = gaussian_filter((a * a + b * b).numpy(), n / 16.0, mode="wrap").astype(np.float64)
    share = local.sum() ** 2 / (local.size * (local * local).sum())
    norm = torch.where(alive, power_a * power_b, torch.ones_like(power_a))
    return np.where(alive, share * norm / torch.where(alive, variance, torch.ones_like(variance)), 0.0)
