"""What particles add to a volume, and the volume that follows.

    V = sum C X / sigma^2  /  (sum C^2 / sigma^2 + 1 / tau^2)

Statistics are kept on the oversampled grid of a prepared volume (:mod:`vitreous.fourier.slices`), their size depends on
the number of rings only, and those of disjoint sets of particles add up, so folds, half-sets and processes are sums.

With ``weight_p`` of :class:`vitreous.volumes.RingPoints`, a sample k of the full grid receives
``sum weight_p C^2 / sigma^2``. The prior says ``- 1/2 sum_k share |V_k|^2 / tau^2`` with ``share = mask power / N^3``,
since samples of a volume that is masked within a padded box of N voxels are correlated; then tau^2 is the mean
``|V|^2`` of slices and of volumes alike.

Source: SCIENCE.md section 10 (Sigworth's lecture; Scheres 2012, equation 5).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

from vitreous.fourier import empty_volume_ft, insert_points, prepare_volume, slice_points
from vitreous.matching import RingBasis
from vitreous.quality import soft_ball
from vitreous.volumes.ring_points import PADDING, RingPoints

__all__ = [
    "VolumeSums",
    "cross_power",
    "density",
    "insert_harmonics",
    "masked",
    "prepared",
    "prior_share",
    "ring_means",
    "ring_slices",
    "sinc_squared",
    "slice_power",
    "sphere",
    "symmetrised",
    "turned",
    "zero_volume_sums",
]

TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class VolumeSums:
    """numerator: complex, sum w C X / sigma^2; denominator: sum w C^2 / sigma^2; both on the grid of h samples."""

    numerator: torch.Tensor
    denominator: torch.Tensor

    @property
    def rings(self) -> int:
        """Number of rings that they have room for."""
        return (self.denominator.shape[-1] - 2) // PADDING - 1


def zero_volume_sums(rings: int, device: torch.device | str = "cpu") -> VolumeSums:
    """Statistics of no particles, with room for ``rings`` rings."""
    side = 2 * (rings + 1)
    return VolumeSums(
        numerator=empty_volume_ft(side, PADDING, device=device),
        denominator=empty_volume_ft(side, PADDING, device=device, dtype=torch.float32),
    )


def insert_harmonics(
    sums: VolumeSums, signal: torch.Tensor, power: torch.Tensor, matrices: torch.Tensor, points: RingPoints
) -> None:
    """Add slices at matrices (m, 3, 3), in place: signal (m, R, Q) of C X / sigma^2, power (m, R) of C^2 / sigma^2.

    What :class:`vitreous.matching.Sums` of m references hold, where reference i is the slice at ``matrices[i]``. Rings
    of ``points`` may be fewer than the sums have room for.
    """
    weight = points.weight.to(signal.device)
    insert_points(
        sums.numerator,
        sums.denominator,
        points.to_points(signal) * weight,
        power[:, points.ring.to(power.device)] * weight,
        matrices,
        points.plane.to(signal.device),
    )


def ring_slices(volume_ft: torch.Tensor, matrices: torch.Tensor, points: RingPoints) -> torch.Tensor:
    """Ring harmonics (m, R, Q) of the slices of a prepared volume at matrices (m, 3, 3)."""
    return points.to_harmonics(slice_points(volume_ft, matrices, points.plane.to(volume_ft.device)))


def slice_power(volume_ft: torch.Tensor, points: RingPoints, matrices: torch.Tensor) -> torch.Tensor:
    """Mean |V|^2 over every ring of the slices of a prepared volume at matrices (m, 3, 3): (rings,)."""
    power = slice_points(volume_ft, matrices, points.plane.to(volume_ft.device)).abs().square().mean(0)
    return torch.stack([power[place].mean() for place in points.slices])


def density(sums: VolumeSums, basis: RingBasis, tau2: torch.Tensor) -> torch.Tensor:
    """The map (n, n, n), n = 2 (R + 1), that statistics and a prior of power ``tau2`` (R' <= R rings) imply.

    Its field is the window of the rings; beyond R' rings it is empty. It is corrected for trilinear interpolation and
    masked by the sphere of the particle (:func:`sphere`); frequency zero, which images do not hold, follows from a mean
    of zero in the shell at the rim of the mask. ``prepare_volume`` of it has slices in the units of the images.
    """
    n = 2 * (sums.rings + 1)
    solved, known = _friedel(sums.numerator), _friedel(sums.denominator)
    known += prior_share(basis, sums.rings) / _on_grid(tau2.clamp_min(TINY), sums)
    solved /= known  # in place: of large boxes, every grid of this size counts
    del known
    return masked(_real_space(solved, n), basis)


def prior_share(basis: RingBasis, rings: int) -> float:
    """``share`` in the prior of a volume of so many rings: mask power / N^3."""
    n = 2 * (rings + 1)
    return float(sphere(basis, n).square().sum()) / (PADDING * n) ** 3


def prepared(volume: torch.Tensor) -> torch.Tensor:
    """A map (n, n, n) made ready for :func:`ring_slices`."""
    return prepare_volume(volume, PADDING)


def masked(volume: torch.Tensor, basis: RingBasis) -> torch.Tensor:
    """A map (n, n, n) of the window, less its mean at the rim of the particle's sphere, within the sphere."""
    ball = sphere(basis, len(volume)).to(volume.device)
    rim = ball * (1 - ball)
    return (volume - (volume * rim).sum() / rim.sum()) * ball


def cross_power(a: VolumeSums, b: VolumeSums, rings: int) -> torch.Tensor:
    """Power of what two independent half-sets have in common, (rings,): ``|V|^2`` without noise; may be negative.

    Per shell ``sum Re(conj n_a n_b) / (d_a + d_b)  /  sum d_a d_b / (d_a + d_b)``, which weighs every sample by what
    both halves know of it.
    """
    shell = _shells(a, rings)
    known, other = _friedel(a.denominator), _friedel(b.denominator)
    both = (known + other).clamp_min_(TINY)
    known *= other
    known /= both
    of_known = _by_shell(known, shell, rings)
    del known, other  # of large boxes, every grid of this size counts
    na, nb = _friedel(a.numerator), _friedel(b.numerator)
    common = na.real * nb.real
    common += na.imag * nb.imag
    common /= both
    del na, nb
    return (_by_shell(common, shell, rings) / of_known.clamp_min(TINY))[1 : rings + 1].float()


def _by_shell(values: torch.Tensor, shell: torch.Tensor, rings: int) -> torch.Tensor:
    """Sums over shells, float64 (rings + 2,)."""
    out = torch.zeros(rings + 2, dtype=torch.float64, device=values.device)
    return out.index_add_(0, shell, values.flatten().double())


def ring_means(sums: VolumeSums) -> torch.Tensor:
    """Mean of the denominator over the samples nearest to every ring, (rings,)."""
    known = _friedel(sums.denominator)
    index = _shells(sums, sums.rings)
    added = torch.zeros(sums.rings + 2, dtype=torch.float64, device=known.device)
    added.index_add_(0, index, known.flatten().double())
    return (added / torch.bincount(index, minlength=sums.rings + 2).clamp_min(1))[1 : sums.rings + 1].float()


def symmetrised(sums: VolumeSums, group: torch.Tensor) -> VolumeSums:
    """The sums that all copies of the particles under a point group (m, 3, 3) give, divided by m.

    ``V(S r) = V(r)``; the copies are interpolated on the oversampled grid.
    """
    return sums if len(group) == 1 else _mean_of_copies(sums, group, torch.zeros(3))


def turned(sums: VolumeSums, rotation: torch.Tensor, centre: torch.Tensor) -> VolumeSums:
    """The sums of the volume ``V(M^T r + c)`` for a rotation M (3, 3) and a centre c (3,), in parts of the window.

    Interpolated on the oversampled grid, as copies under a point group are.
    """
    return _mean_of_copies(sums, rotation.T[None], centre)


def _mean_of_copies(sums: VolumeSums, matrices: torch.Tensor, centre: torch.Tensor) -> VolumeSums:
    """Mean over matrices A (m, 3, 3) of ``exp(2 pi i (A k) . c)`` times the numerator at A k, and of denominators."""
    numerator, denominator = _friedel(sums.numerator), _friedel(sums.denominator)
    out = zero_volume_sums(sums.rings, numerator.device)
    both = torch.complex(denominator, torch.zeros_like(denominator))
    inside = (_samples(sums) <= (PADDING * (sums.rings + 0.5)) ** 2).nonzero()
    h = denominator.shape[-1] - 2
    at = (inside.flip(1) - torch.tensor([0, h + 1, h + 1], device=inside.device)).float().T.contiguous()
    shift = centre.to(at) * (2 * torch.pi / PADDING)
    for element in matrices.to(at.device):
        moved = element.float() @ at
        values = _at(numerator, moved)
        out.numerator[tuple(inside.T)] += values * torch.polar(torch.ones_like(moved[0]), shift @ moved)
        out.denominator[tuple(inside.T)] += _at(both, moved).real
    scale = torch.full(out.denominator.shape[-1:], 1 / len(matrices), device=at.device)
    scale[0] /= 2  # samples of the plane kx = 0 hold both members of their pairs already
    return VolumeSums(numerator=out.numerator * scale, denominator=out.denominator * scale)


def sphere(basis: RingBasis, n: int) -> torch.Tensor:
    """The particle's soft sphere in a map of n voxels along the window, (n, n, n)."""
    return _sphere(n, basis.radius_px * n / basis.window_px, basis.edge_px * n / basis.window_px)


@lru_cache(maxsize=4)
def _sphere(n: int, radius: float, edge: float) -> torch.Tensor:
    return soft_ball(n, radius - edge, edge)


def _at(volume_ft: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Values at points (3, p) of space: planes whose first two columns are the point itself."""
    matrices = torch.zeros(position.shape[1], 3, 3, device=position.device)
    matrices[:, :, 0] = position.T
    unit = torch.tensor([[1.0], [0.0]], device=position.device)
    return slice_points(volume_ft, matrices, unit)[:, 0]


def _friedel(half: torch.Tensor) -> torch.Tensor:
    """Samples of the plane kx = 0 hold both members of a pair: what either has received belongs to both."""
    out = half.clone()
    plane = half[1:-1, 1:-1, 0]
    out[1:-1, 1:-1, 0] = plane + plane.flip(0, 1).conj()
    return out


def _real_space(half: torch.Tensor, n: int) -> torch.Tensor:
    """The map (n, n, n) of a volume transform, corrected for trilinear interpolation."""
    h, big = half.shape[-1] - 2, PADDING * n
    full = torch.zeros(big, big, big // 2 + 1, dtype=half.dtype, device=half.device)
    keep = torch.arange(-h, h + 1, device=half.device) % big
    full[keep[:, None, None], keep[:, None], torch.arange(h + 1, device=half.device)] = half[1:-1, 1:-1, :-1]
    space = torch.fft.irfftn(full, s=(big, big, big))
    box = (torch.arange(n, device=half.device) - n // 2) % big
    return space[box[:, None, None], box[:, None], box] / sinc_squared(n).to(half.device)


def sinc_squared(n: int) -> torch.Tensor:
    """What trilinear interpolation on the grid of a prepared volume multiplies a map (n, n, n) by."""
    gridding = torch.sinc((torch.arange(n) - n // 2) / (PADDING * n)) ** 2
    return gridding[:, None, None] * gridding[:, None] * gridding


def _samples(sums: VolumeSums) -> torch.Tensor:
    """Squared distance of the samples from frequency zero, in samples, int64."""
    return _squares(sums.denominator.shape[-1] - 2, str(sums.denominator.device))


@lru_cache(maxsize=4)
def _squares(h: int, device: str) -> torch.Tensor:
    axis = torch.arange(-h - 1, h + 2, device=device).square()
    half = torch.arange(h + 2, device=device).square()
    return axis[:, None, None] + axis[:, None] + half


def _rings_of_squares(sums: VolumeSums) -> torch.Tensor:
    """The radius in rings of every squared distance that occurs."""
    h = sums.denominator.shape[-1] - 2
    most = 2 * (h + 1) ** 2 + (h + 1) ** 2
    return torch.arange(most + 1, device=sums.denominator.device, dtype=torch.float32).sqrt() / PADDING


def _shells(sums: VolumeSums, rings: int) -> torch.Tensor:
    """Nearest ring of every sample, flat; rings + 1 beyond ``rings``."""
    return _rings_of_squares(sums).round().long().clamp(max=rings + 1)[_samples(sums)].flatten()


def _on_grid(curve: torch.Tensor, sums: VolumeSums) -> torch.Tensor:
    """A curve over rings 1 ... R' at all samples, linear in between, TINY beyond half a ring more."""
    radius = _rings_of_squares(sums)
    low = (radius - 1).floor().clamp(0, len(curve) - 1)
    high = (low + 1).clamp(max=len(curve) - 1)
    part = (radius - 1 - low).clamp(0, 1)
    values = curve.to(radius.device)
    between = torch.lerp(values[low.long()], values[high.long()], part)
    return torch.where(radius <= len(curve) + 0.5, between, TINY)[_samples(sums)]
