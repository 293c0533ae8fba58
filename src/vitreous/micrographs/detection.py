"""The matched filter over all templates and rotations, and its score against the surroundings.

With a micrograph ``G = sum C T + N``, N of power P_N, the filter of template T is ``c = F^-1[conj(C T) G / P_N]``.
Divided by the root of ``sum |C T|^2 / P_N`` it has variance 1 in noise, and its height is the amplitude
signal-to-noise ratio of the particle there (North 1943; for micrographs Sigworth 2004). But noise is not all that a
particle has to stand out from: other particles, contamination and the difference between a particle and the template
nearest to it have spectra that nobody knows, and where they outweigh the noise a filter without whitening is better.
What a filter divides by is P, the root of P_N without its longest waves: half of the way between P_N and a constant on
a logarithmic scale, which loses little against either. Its variance is then ``sum |C T|^2 P_N / P^2``, and its root is
what it is divided by, so that every filter has variance 1 in the noise that is there.

Two more factors are in the weights. Templates are multiplied by ``2^-(k D / detail)^2``: a particle differs from the
nearest template of a few dozen, and the best filter for one that is only known to be near T is the mean over what it
may be, which has lost its fine detail. What is slower than the particle is left out, since backgrounds vary there more
than P_N says.

The maximum over all filters is high wherever there is much contrast, so that what counts is how far it stands out from
its surroundings: its difference from the local mean, in local standard deviations.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.ndimage import gaussian_filter

from vitreous.micrographs.spectra import power_at, without_long_waves
from vitreous.micrographs.templates import Bank
from vitreous.optics import CTFParameters, ctf_at

__all__ = ["Filtered", "Scan", "filtered", "local_score", "scan"]

SURROUNDINGS = 1.5 / 2.355  # diameters: standard deviation of the Gaussian whose width at half height is 1.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Filtered:
    """A micrograph in Fourier space, and the weights of the matched filter on its padded grid."""

    shape: tuple[int, int]  # of the micrograph
    padded: tuple[int, int]
    weighted: torch.Tensor  # G C / P, rfft layout
    energy: torch.Tensor  # variance in noise per power of a template, times the coefficients that one stands for
    smooth: np.ndarray  # (rows, columns), the image within the resolution of the templates


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """What the filters give at every pixel, in standard deviations of noise; all (rows, columns)."""

    highest: np.ndarray
    filter: np.ndarray  # int32, the one that is highest
    lowest: np.ndarray  # with its sign


def filtered(
    data: np.ndarray, bank: Bank, noise: np.ndarray, ctf: CTFParameters | None, *, detail: float, whiten: bool
) -> Filtered:
    """Prepare a clean image (rows, columns) at the pixel size of the bank.

    noise: power on evenly spaced rings from 0 to the Nyquist frequency. The filter divides by the root of it without
    its long waves, and by a constant where ``whiten`` is off.
    """
    rows, columns = data.shape
    m, diameter, pixel = bank.filters.shape[1], bank.diameter_A, bank.pixel_size_A
    tall, wide = (int(next_fast_len(n + m, real=True)) for n in data.shape)
    ky, kx = np.fft.fftfreq(tall, pixel)[:, None], np.fft.rfftfreq(wide, pixel)[None, :]
    k = np.hypot(ky, kx)
    even = np.sqrt(without_long_waves(noise) if whiten else np.full(len(noise), noise[1:].mean()))
    power, divisor = power_at(k * pixel, noise), power_at(k * pixel, even)
    transfer: np.ndarray | float = 1.0
    if ctf is not None:
        transfer = ctf_at(ctf, *(torch.from_numpy(np.ascontiguousarray(axis)) for axis in (kx, ky)))[0].numpy()
    seen = (1.0 - np.exp(-np.square(k * diameter))) * np.exp2(-np.square(k * diameter / detail))
    padded = np.zeros((tall, wide), np.float32)
    padded[:rows, :columns] = data
    ft = torch.fft.rfft2(torch.from_numpy(padded))
    twice = np.where((np.arange(k.shape[1]) == 0) | (2 * np.arange(k.shape[1]) == wide), 1.0, 2.0)
    weight = (transfer * seen / divisor).astype(np.float32)
    smooth = torch.fft.irfft2(ft * torch.from_numpy(seen.astype(np.float32)), s=(tall, wide))
    return Filtered(
        shape=(rows, columns),
        padded=(tall, wide),
        weighted=ft * torch.from_numpy(weight),
        energy=torch.from_numpy((np.square(weight) * power * twice).astype(np.float32)),
        smooth=smooth[:rows, :columns].numpy(),
    )


def scan(image: Filtered, bank: Bank) -> Scan:
    """Run all filters: two Fourier transforms each, nothing kept but extremes."""
    (rows, columns), (tall, wide) = image.shape, image.padded
    centre = bank.filters.shape[1] // 2
    highest = torch.full((tall, wide), -torch.inf)
    lowest, which = torch.full((tall, wide), torch.inf), torch.zeros((tall, wide), dtype=torch.int32)
    for i, template in enumerate(bank.filters):
        ft = torch.fft.rfft2(torch.from_numpy(template), s=(tall, wide))
        variance = float((image.energy * (ft.real**2 + ft.imag**2)).sum()) / (tall * wide)
        score = torch.fft.irfft2(image.weighted * ft.conj(), s=(tall, wide)).div_(max(variance, 1e-30) ** 0.5)
        higher = score > highest
        highest = torch.where(higher, score, highest)
        which.masked_fill_(higher, i)
        lowest = torch.minimum(lowest, score)

    def placed(found: torch.Tensor) -> np.ndarray:
        return torch.roll(found, (centre, centre), (0, 1))[:rows, :columns].contiguous().numpy()

    return Scan(highest=placed(highest), filter=placed(which), lowest=placed(lowest))


def local_score(highest: np.ndarray, diameter_px: float) -> np.ndarray:
    """How far the highest response stands out: (value - local mean) / local standard deviation, (rows, columns)."""
    sigma = SURROUNDINGS * diameter_px
    mean = gaussian_filter(highest, sigma)
    spread = gaussian_filter(np.square(highest), sigma) - np.square(mean)
    return (highest - mean) / np.sqrt(np.maximum(spread, 1e-6))
