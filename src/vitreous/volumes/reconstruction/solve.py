"""From statistics to maps: direct Fourier inversion, weighted back-projection, least squares inside a sphere.

All three solve ``(A + P) V = b`` with b the numerator, A the normal operator and P a prior. With the grid fine enough A
is a convolution: it multiplies the transform of the padded volume by the denominator D. They differ in what is done
about D.

gridding
    ``V = b / (D + P)`` sample by sample (Scheres 2012, equation 5; Penczek 2010, Methods in Enzymology 482).
wbp
    ``V = b / (H + P)`` with Radermacher's exact filter for any geometry (Radermacher 1992; Penczek 2010, equation 29):
    ``H(k) = sum_i D sinc(D k . d_i)`` for an object of diameter D is the transform of the point spread function of
    plain back-projection, the sum of lines along the views, cut to a ball of diameter D. Cut that way, the function
    that has the CTF in it gives the generalisation to ``sum C^2``. It comes from the same denominator: no second pass.
cg
    ``min |X - C S P m V|^2 / sigma^2 + V^T P V`` for a volume m V inside a soft sphere m, by conjugate gradients. One
    product with the normal operator is two transforms of the padded volume, without a pass over the particles; with
    ``1 / (D + P)`` for preconditioner it takes three or four of them.

**The prior.** ``P(k) = mean D (shell) / SSNR(shell)``, Wiener's filter with the signal-to-noise ratio of the halves,
2 FSC / (1 - FSC) within the particle's sphere. The correlation is taken twice: halves without a prior correlate less
than they could, since samples that few images have reached are noise; so half of the prior that they imply is used for
the halves that the final one is taken from.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vitreous.quality import soft_ball
from vitreous.volumes.reconstruction.grid import (
    from_real_space,
    half_ssnr,
    on_grid,
    shell_means,
    sinc2,
    to_lags,
    to_real_space,
)
from vitreous.volumes.reconstruction.statistics import ReconstructionSums, add_sums

__all__ = ["Solved", "back_projection_weights", "least_squares", "prior_of", "solve", "unfiltered"]

LEAST_BACK_PROJECTION = 0.1  # of the mean of a shell: where lines cancel, the exact filter has no bound
FLOOR = 1e-3  # of the mean of a shell: samples that are known less are not blown up further
FIRST_SHARE = 0.5  # of the prior, for the halves that the final one is taken from
FLAT_SSNR = 10.0  # of halves by least squares: the same for all shells, so that it is no filter
LEAST_SSNR = 1e-6

Solver = Callable[[ReconstructionSums, torch.Tensor], torch.Tensor]  # (sums, prior) -> map (n, n, n)

ROUNDING = 1e-6  # of a residual in single precision


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """full: filtered map (n, n, n); halves: unfiltered ones; fsc, ssnr: (n // 2 + 1,) of the halves, of the whole."""

    full: torch.Tensor
    halves: tuple[torch.Tensor, torch.Tensor]
    fsc: torch.Tensor
    ssnr: torch.Tensor


def solve(
    halves: tuple[ReconstructionSums, ReconstructionSums],
    box_px: int,
    radius_px: float,
    *,
    method: str = "gridding",
    iterations: int = 3,
) -> Solved:
    """Maps from the complete sums of two half-sets (:func:`full_circle`).

    method: gridding, wbp or cg; radius_px: of the particle's sphere, in which halves are compared; iterations: of cg.
    Memory: about 40 bytes per sample of the padded box of (2 n)^3 voxels, 80 MB for n = 64 and 5.4 GB for n = 256.
    """
    whole = add_sums(*halves)
    shells = box_px // 2 + 1

    def by_samples(sums: ReconstructionSums, prior: torch.Tensor) -> torch.Tensor:
        weights = back_projection_weights(sums, box_px, radius_px) if method == "wbp" else sums.denominator
        return to_real_space(sums.numerator / (weights + prior), box_px)

    def by_least_squares(sums: ReconstructionSums, prior: torch.Tensor) -> torch.Tensor:
        return least_squares(sums, prior, sphere(box_px, radius_px), iterations=iterations)

    raw = tuple(unfiltered(half, by_samples, shells) for half in halves)
    fsc, ssnr = half_ssnr((raw[0], raw[1]), radius_px)
    solver: Solver = by_samples
    if method == "cg":
        solver = by_least_squares
        flat = torch.full((shells,), FLAT_SSNR)
        raw = tuple(solver(half, prior_of(half, flat)) for half in halves)
        fsc, _ = half_ssnr((raw[0], raw[1]), radius_px)
    first = FIRST_SHARE * prior_of(whole, ssnr)
    _, ssnr = half_ssnr((solver(halves[0], first), solver(halves[1], first)), radius_px)
    return Solved(full=solver(whole, prior_of(whole, ssnr)), halves=(raw[0], raw[1]), fsc=fsc, ssnr=ssnr)


def unfiltered(sums: ReconstructionSums, solver: Solver, shells: int) -> torch.Tensor:
    """A map without a prior, but for a thousandth of the mean of a shell."""
    mean = shell_means(sums.denominator, shells).clamp_min(torch.finfo(torch.float32).tiny)
    return solver(sums, FLOOR * on_grid(mean, sums.denominator.shape[-1] - 2))


def prior_of(sums: ReconstructionSums, ssnr: torch.Tensor) -> torch.Tensor:
    """P on the grid from the signal-to-noise ratio (shells,) of a map from these sums."""
    mean = shell_means(sums.denominator, len(ssnr)).clamp_min(torch.finfo(torch.float32).tiny)
    return on_grid(mean / ssnr.double().clamp_min(LEAST_SSNR), sums.denominator.shape[-1] - 2)


def sphere(box_px: int, radius_px: float) -> torch.Tensor:
    """The particle's soft sphere (n, n, n): 1 within 0.85 of the radius, 0 beyond it."""
    return soft_ball(box_px, 0.85 * radius_px, 0.15 * radius_px)


def back_projection_weights(sums: ReconstructionSums, box_px: int, radius_px: float) -> torch.Tensor:
    """Radermacher's filter on the grid for an object of this radius, with ``sum C^2`` for the number of images."""
    # Where the point spread function is cut to the diameter, the lines of back-projection have the object's length.
    weights = point_spread(sums.denominator, box_px, radius_px)
    mean = shell_means(sums.denominator, box_px // 2 + 1).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.maximum(weights, LEAST_BACK_PROJECTION * on_grid(mean, sums.denominator.shape[-1] - 2))


def point_spread(denominator: torch.Tensor, box_px: int, reach_px: float | None = None) -> torch.Tensor:
    """The denominator without the trace of trilinear interpolation, which insertion has left on its lags.

    Lags are cut to a ball of ``reach_px``, as far as two voxels of the particle are apart; None: the box.
    """
    big = 2 * box_px
    lags = to_lags(denominator, box_px) / sinc2(big, big, denominator.device)
    ball = soft_ball(big, box_px - 3.0 if reach_px is None else reach_px, 2.0).to(lags.device)
    return from_real_space(lags * ball, box_px).real.clamp_min(0.0)  # rounding of the cut must not make it negative


def least_squares(
    sums: ReconstructionSums,
    prior: torch.Tensor,
    mask: torch.Tensor,
    *,
    iterations: int = 3,
    start: torch.Tensor | None = None,
    objective: Callable[[float], None] | None = None,
) -> torch.Tensor:
    """The map m V (n, n, n) that fits the images best inside a soft mask m, under a prior on the grid.

    start: what V of gridding is multiplied by to begin with (n, n, n), None for 1 inside the mask; objective: told
    ``1/2 V^T (A + P) V - b^T V`` after every iteration; it never rises.
    """
    n = len(mask)
    b = mask * to_real_space(sums.numerator, n)

    def filtered(volume: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return to_real_space(from_real_space(volume, n) * gain, n, correct=False)

    def normal(volume: torch.Tensor) -> torch.Tensor:
        return mask * filtered(mask * volume, kernel) + filtered(volume, prior)

    kernel = point_spread(sums.denominator, n)
    inverse = 1 / (sums.denominator + prior)
    x = to_real_space(sums.numerator * inverse, n)  # sample by sample, as gridding has it
    x *= (mask > 0) if start is None else start
    residual = b - normal(x)
    z = filtered(residual, inverse)
    direction, power = z, (residual * z).sum()
    least = ROUNDING**2 * power
    for _ in range(iterations):
        if not power > least:  # what is left is rounding, and steps along it are of any length
            break
        image = normal(direction)
        step = power / (direction * image).sum()
        x, residual = x + step * direction, residual - step * image
        z = filtered(residual, inverse)
        before, power = power, (residual * z).sum()
        direction = z + power / before * direction
        if objective is not None:
            objective(float(-0.5 * (x * (b + residual)).sum()))
    return mask * x
