"""The oversampled Fourier grid: to real space and back, shells, spectra of correlation."""

from functools import lru_cache

import torch

from vitreous.quality import shell_correlation, soft_ball
from vitreous.volumes.reconstruction.statistics import PADDING

__all__ = [
    "from_real_space",
    "half_ssnr",
    "on_grid",
    "shell_index",
    "shell_means",
    "shell_radius",
    "sinc2",
    "to_lags",
    "to_real_space",
]

MOST_FSC = 0.999  # a signal-to-noise ratio above 1000 is not told from none by a few hundred coefficients


def to_real_space(grid: torch.Tensor, box_px: int, *, correct: bool = True) -> torch.Tensor:
    """A volume transform (2 h + 3, 2 h + 3, h + 2) -> the map (n, n, n), corrected for trilinear interpolation."""
    big = PADDING * box_px
    box = (torch.arange(box_px, device=grid.device) - box_px // 2) % big
    inner = _padded_space(grid, box_px)[box[:, None, None], box[:, None], box]
    return inner / sinc2(box_px, big, grid.device) if correct else inner


def to_lags(grid: torch.Tensor, box_px: int) -> torch.Tensor:
    """The whole padded volume (2 n, 2 n, 2 n) of a transform, its centre at n."""
    return torch.fft.fftshift(_padded_space(grid, box_px))


def from_real_space(volume: torch.Tensor, box_px: int) -> torch.Tensor:
    """A map (m, m, m), m = n or 2 n, centre at m // 2 -> its transform on the grid of a box of n; without correction.

    The adjoint of :func:`to_real_space` without correction, but for the factor (2 n)^3 of the inverse transform.
    """
    m, big, h = len(volume), PADDING * box_px, PADDING * (box_px // 2)
    padded = torch.zeros(big, big, big, device=volume.device, dtype=volume.dtype)
    box = (torch.arange(m, device=volume.device) - m // 2) % big
    padded[box[:, None, None], box[:, None], box] = volume
    full = torch.fft.rfftn(padded)
    keep = torch.arange(-h, h + 1, device=volume.device) % big
    grid = torch.zeros(2 * h + 3, 2 * h + 3, h + 2, dtype=full.dtype, device=volume.device)
    grid[1:-1, 1:-1, :-1] = full[keep[:, None, None], keep[:, None], torch.arange(h + 1, device=volume.device)]
    return grid


def _padded_space(grid: torch.Tensor, box_px: int) -> torch.Tensor:
    h, big = grid.shape[-1] - 2, PADDING * box_px
    full = torch.zeros(big, big, big // 2 + 1, dtype=torch.complex64, device=grid.device)
    keep = torch.arange(-h, h + 1, device=grid.device) % big
    full[keep[:, None, None], keep[:, None], torch.arange(h + 1, device=grid.device)] = grid[1:-1, 1:-1, :-1].to(
        full.dtype
    )
    return torch.fft.irfftn(full, s=(big, big, big))


def sinc2(side: int, period: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """What trilinear interpolation on a grid of a period multiplies real space by, (side, side, side)."""
    axis = torch.sinc((torch.arange(side, device=device) - side // 2) / period) ** 2
    return axis[:, None, None] * axis[:, None] * axis


@lru_cache(maxsize=2)
def shell_radius(h: int) -> torch.Tensor:
    """Distance of every sample of a grid from frequency zero in Fourier pixels, (2 h + 3, 2 h + 3, h + 2)."""
    axis = torch.arange(-h - 1, h + 2, dtype=torch.float32).square()
    half = torch.arange(h + 2, dtype=torch.float32).square()
    return (axis[:, None, None] + axis[:, None] + half).sqrt() / PADDING


@lru_cache(maxsize=2)
def shell_index(h: int) -> torch.Tensor:
    """Nearest shell of every sample of a grid, int64 (2 h + 3, 2 h + 3, h + 2)."""
    return (shell_radius(h) + 0.5).floor().to(torch.int64)


def shell_means(grid: torch.Tensor, shells: int) -> torch.Tensor:
    """Mean of a real grid over shells, float64 (shells,)."""
    index = shell_index(grid.shape[-1] - 2).to(grid.device).clamp(max=shells).flatten()
    total = torch.zeros(shells + 1, dtype=torch.float64, device=grid.device)
    total.index_add_(0, index, grid.flatten().double())
    return total[:shells] / torch.bincount(index, minlength=shells + 1)[:shells]


def on_grid(curve: torch.Tensor, h: int) -> torch.Tensor:
    """A curve over shells at all samples of a grid; its last value beyond."""
    return curve.float()[shell_index(h).to(curve.device).clamp(max=len(curve) - 1)]


def half_ssnr(halves: tuple[torch.Tensor, torch.Tensor], radius_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(FSC, signal-to-noise ratio of the whole 2 FSC / (1 - FSC)) of two maps (n, n, n) within the particle's sphere.

    Both (n // 2 + 1,). Where the correlation has once come to chance, there is no signal from there on.
    """
    n = len(halves[0])
    ball = soft_ball(n, 0.85 * radius_px, 0.15 * radius_px).to(halves[0].device)
    fsc = shell_correlation(*(v * ball for v in halves))
    fsc[0] = fsc[1]
    below = torch.nonzero(fsc[1:] <= 0)
    if len(below):
        fsc[int(below[0]) + 1 :] = 0
    known = fsc.clamp(0, MOST_FSC)
    return fsc, 2 * known / (1 - known)
