"""The power spectrum of a micrograph, averaged over overlapping tiles (Welch 1967)."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len

from vitreous.micrographs.ctf_band import Band

__all__ = ["Spectrum", "averaged_spectrum", "tile_side_px"]

HOT = 6.0  # standard deviations of a tile beyond which a pixel is no noise
SHORTEST_PX = 32
LARGEST = 0.4  # of the shorter side of a micrograph: larger tiles see too little of its rim
OVERLAP = 0.5
SHARED = 1.0 + 2.0 / 36.0  # variance of a mean of half overlapping Hann tiles, per axis, in that of tiles apart
BIN_LIKENESS = (1.0 + 2.0 * (4.0 / 9.0 + 1.0 / 36.0)) ** 2  # sum of squared correlations of neighbouring values
AT_ONCE_BYTES = 1 << 26  # tiles that are transformed together
RESOLVED = 1.5  # tiles are at least this times the finest displacement that rings stand for


@dataclass(frozen=True, kw_only=True, eq=False)
class Spectrum:
    """An averaged periodogram in the rfft layout. Frequencies are whole multiples of 1 / side_A."""

    power: np.ndarray  # float64 (n, n // 2 + 1); 1 on average over the band
    side_A: float  # of a tile
    tiles: int
    hot: int  # pixels that were replaced

    @property
    def per_value(self) -> float:
        """Independent numbers behind a value: its relative variance is one over this."""
        return self.tiles / SHARED**2 if self.tiles > 1 else 1.0

    @property
    def information(self) -> float:
        """The same for sums over values, which are correlated with their neighbours by the window."""
        return self.per_value / BIN_LIKENESS


def tile_side_px(shape: tuple[int, int], pixel_size_A: float, wanted_A: float) -> int:
    """Side of the tiles in pixels: a fast, even length near what is wanted, and not much of the micrograph."""
    most = max(int(LARGEST * min(shape)), SHORTEST_PX)
    side: int = next_fast_len(max(SHORTEST_PX, min(most, round(wanted_A / pixel_size_A))), real=True)
    while side % 2 or side > min(shape):
        side = side - 1 if side > min(shape) else next_fast_len(side + 1, real=True)
    return side


def averaged_spectrum(data: np.ndarray, pixel_size_A: float, side_px: int, band: Band) -> Spectrum:
    """The mean over half overlapping tiles of |F|^2 under a Hann window.

    data: (rows, columns). Every tile is freed of its mean and of hot pixels, and its spectrum is divided by its own
    mean over the band, so that thick ice, carbon or a tile with a lump does not drown the others. Tiles that are flat
    are left out. Raises ValueError where all are.
    """
    rows, columns = data.shape
    window = _hann(side_px)
    seen = _band(side_px, side_px * pixel_size_A, band)
    total = torch.zeros((side_px, side_px // 2 + 1), dtype=torch.float64)
    step = max(1, int(OVERLAP * side_px))
    left = np.arange(0, columns - side_px + 1, step)
    together = max(1, AT_ONCE_BYTES // (8 * side_px * side_px))
    tiles = hot = 0
    for y in range(0, rows - side_px + 1, step):
        for first in range(0, len(left), together):
            block = np.stack([data[y : y + side_px, x : x + side_px] for x in left[first : first + together]])
            ready, count = _ready(torch.from_numpy(block))
            power = torch.fft.rfft2(ready * window).abs().square_()
            level = power[:, seen].mean(dim=1, dtype=torch.float64)
            used = level > 0
            total += (power[used] / level[used, None, None].float()).sum(dim=0, dtype=torch.float64)
            tiles, hot = tiles + int(used.sum()), hot + count
    if not tiles:
        raise ValueError(f"all tiles of {side_px} pixels are constant: an empty micrograph")
    return Spectrum(power=(total / tiles).numpy(), side_A=side_px * pixel_size_A, tiles=tiles, hot=hot)


def _hann(side_px: int) -> torch.Tensor:
    one = 0.5 - 0.5 * torch.cos(2 * torch.pi * (torch.arange(side_px) + 0.5) / side_px)
    return torch.outer(one, one)


def _band(side_px: int, side_A: float, band: Band) -> torch.Tensor:
    ky, kx = np.fft.fftfreq(side_px) * side_px / side_A, np.arange(side_px // 2 + 1) / side_A
    return torch.from_numpy(band.contains(np.hypot(ky[:, None], kx)))


def _ready(block: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Tiles (b, n, n) with mean 0, hot pixels being 0; and how many there were in their middle quarters."""
    centred = block - block.mean(dim=(1, 2), keepdim=True)
    limit = HOT * centred.square().mean(dim=(1, 2), keepdim=True).sqrt()
    hot = centred.abs() > limit
    if not hot.any():
        return centred, 0
    cool = centred.masked_fill(hot, 0.0)
    quarter = block.shape[1] // 4
    return cool - cool.mean(dim=(1, 2), keepdim=True), int(hot[:, quarter:-quarter, quarter:-quarter].sum())
