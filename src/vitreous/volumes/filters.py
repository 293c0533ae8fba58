"""Maps through filters of spatial frequency: low-pass, high-pass, B-factor, weights by shells of an FSC.

All filters are real functions of |k|: they multiply Fourier amplitudes, move nothing, and work on maps of any shape.
Edges are raised cosines in amplitude.
"""

from collections.abc import Callable

import numpy as np
import torch

from vitreous.particles import Volume

__all__ = ["apply_b_factor", "fsc_weights", "high_pass", "low_pass", "radial_filter", "shell_filter"]

_EDGE_SHELLS = 2.0


def radial_filter(volume: Volume, curve: Callable[[torch.Tensor], torch.Tensor]) -> Volume:
    """Multiply the transform by ``curve`` of |k| (1/Angstrom); of the mean, too, at |k| = 0."""
    data = torch.from_numpy(np.ascontiguousarray(volume.data))
    ft = torch.fft.rfftn(data) * curve(frequency_rfftn(tuple(data.shape), volume.pixel_size_A))
    return volume.with_data(torch.fft.irfftn(ft, s=data.shape).numpy())


def frequency_rfftn(shape: tuple[int, ...], pixel_size_A: float) -> torch.Tensor:
    """|k| in 1/Angstrom for ``torch.fft.rfftn`` of a map of a shape (nz, ny, nx): float32 (nz, ny, nx // 2 + 1)."""
    z, y = (torch.fft.fftfreq(n, pixel_size_A) for n in shape[:2])
    x = torch.fft.rfftfreq(shape[2], pixel_size_A)
    return torch.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)


def low_pass(volume: Volume, resolution_A: float, *, edge_per_A: float | None = None) -> Volume:
    """Without what is finer than ``resolution_A``.

    The amplitude falls from 1 to 0 as a raised cosine over ``edge_per_A`` (1/Angstrom), 1/2 at the resolution; None:
    two Fourier pixels of the longest side, as RELION has it. Raises ValueError for a resolution that is not positive.
    """
    cut, edge = _cut_and_edge(volume, resolution_A, edge_per_A)
    return radial_filter(volume, lambda k: _falling(k, cut, edge))


def high_pass(volume: Volume, resolution_A: float, *, edge_per_A: float | None = None) -> Volume:
    """Without what is coarser than ``resolution_A``, the mean included; edge as in :func:`low_pass`."""
    cut, edge = _cut_and_edge(volume, resolution_A, edge_per_A)
    return radial_filter(volume, lambda k: 1.0 - _falling(k, cut, edge))


def apply_b_factor(volume: Volume, b_factor_A2: float) -> Volume:
    """Amplitudes times ``exp(-B |k|^2 / 4)``: negative B sharpens, positive B blurs. ValueError if B is not finite."""
    if not np.isfinite(b_factor_A2):
        raise ValueError(f"b_factor_A2: expected a finite number, found {b_factor_A2}")
    return radial_filter(volume, lambda k: torch.exp(-0.25 * b_factor_A2 * k * k))


def shell_filter(volume: Volume, weights: np.ndarray) -> Volume:
    """Amplitudes of a cubic map times ``weights`` (n // 2 + 1) of the Fourier pixels of radius, interpolated linearly.

    Beyond the last shell (the corners) the weight is 0. Raises ValueError for another number of weights.
    """
    n = volume.box_px
    table = torch.as_tensor(np.asarray(weights, dtype=np.float32))
    if tuple(table.shape) != (n // 2 + 1,):
        raise ValueError(f"weights: a box of {n} has {n // 2 + 1} shells, found shape {tuple(table.shape)}")

    def curve(k: torch.Tensor) -> torch.Tensor:
        radius = k * (n * volume.pixel_size_A)
        low = radius.floor().to(torch.int64).clamp(max=n // 2)
        high = (low + 1).clamp(max=n // 2)
        value = table[low] + (radius - low) * (table[high] - table[low])
        return torch.where(radius <= n // 2 + 0.5, value, torch.zeros_like(value))

    return radial_filter(volume, curve)


def fsc_weights(fsc: np.ndarray, resolution_A: float, field_A: float) -> np.ndarray:
    """The best weights of a sum of two halves with Fourier shell correlation ``fsc`` (n // 2 + 1).

    ``C_ref = sqrt(2 FSC / (1 + FSC))``, the expected correlation of the sum with the truth (Rosenthal and Henderson
    2003, J. Mol. Biol. 333, 721); 1 for shell 0, and 0 beyond ``resolution_A``, where an FSC that rises again is
    chance. ``field_A`` is the width of the box, n times the pixel size. An infinite resolution leaves shell 0 alone.
    """
    curve = np.clip(np.nan_to_num(np.asarray(fsc, dtype=np.float64)), 0.0, 1.0)
    weights = np.sqrt(2.0 * curve / (1.0 + curve))
    weights[np.arange(len(curve)) > field_A / resolution_A + 0.5] = 0.0
    weights[0] = 1.0
    return weights


def _cut_and_edge(volume: Volume, resolution_A: float, edge_per_A: float | None) -> tuple[float, float]:
    if not (np.isfinite(resolution_A) and resolution_A > 0):
        raise ValueError(f"resolution_A: expected a positive number, found {resolution_A}")
    edge = _EDGE_SHELLS / (max(volume.data.shape) * volume.pixel_size_A) if edge_per_A is None else edge_per_A
    return 1.0 / resolution_A, edge


def _falling(k: torch.Tensor, cut: float, edge: float) -> torch.Tensor:
    """1 below cut - edge / 2, 0 above cut + edge / 2, a raised cosine between them."""
    if edge <= 0:
        return (k <= cut).to(k.dtype)
    return 0.5 * (1.0 + torch.cos(torch.pi * ((k - cut) / edge + 0.5).clamp(0.0, 1.0)))
