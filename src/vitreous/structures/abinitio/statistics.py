"""What the particles of a fold give to K volumes, and the slices that follow from it.

A slice of every volume in every direction is a reference of the matching core: reference ``k D + d`` is volume k seen
along direction d. The sums that the core makes of them are inserted once per fold visit, so the cost of inserting does
not depend on the number of particles.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vitreous.matching import References, RingBasis, SearchPlan, Sums, total
from vitreous.volumes import (
    RingPoints,
    VolumeSums,
    cross_power,
    density,
    insert_harmonics,
    prepared,
    ring_slices,
    symmetrised,
    zero_volume_sums,
)

__all__ = ["FoldSums", "densities", "fold_sums", "log_volume_prior", "slices_of", "volume_power", "volume_references"]


@dataclass(frozen=True, kw_only=True)
class FoldSums:
    """Statistics of K volumes; they add up.

    numerator: (K, ...) complex and denominator: (K, ...), as in :class:`vitreous.volumes.VolumeSums`; members: (K,) sum
    of posteriors; offset_square_px2: (1,) posterior sum of |u|^2.
    """

    numerator: torch.Tensor
    denominator: torch.Tensor
    members: torch.Tensor
    offset_square_px2: torch.Tensor

    def volume(self, k: int) -> VolumeSums:
        """The statistics of one volume."""
        return VolumeSums(numerator=self.numerator[k], denominator=self.denominator[k])

    @property
    def count(self) -> int:
        """Number of volumes K."""
        return len(self.members)


def fold_sums(
    sums: Sums, matrices: torch.Tensor, points: RingPoints, volumes: int, room: int, group: torch.Tensor
) -> FoldSums:
    """Insert the sums of K D references, slices at matrices (D, 3, 3) of K volumes with room for ``room`` rings."""
    parts = []
    for k in range(volumes):
        mine = slice(k * len(matrices), (k + 1) * len(matrices))
        part = zero_volume_sums(room, sums.signal.device)
        insert_harmonics(part, sums.signal[mine], sums.power[mine], matrices, points)
        parts.append(symmetrised(part, group))
    return FoldSums(
        numerator=torch.stack([p.numerator for p in parts]),
        denominator=torch.stack([p.denominator for p in parts]),
        members=sums.members.reshape(volumes, -1).sum(1),
        offset_square_px2=sums.offset_square_px2.sum()[None],
    )


def volume_power(parts: Sequence[FoldSums], rings: int) -> torch.Tensor:
    """Power |V|^2 of the signal of every volume, (K, rings): what even and odd folds have in common, at least 0."""
    even, odd = total(parts[0::2]), total(parts[1::2])
    curves = [cross_power(even.volume(k), odd.volume(k), rings) for k in range(parts[0].count)]
    return torch.stack(curves).clamp_min(0)


def densities(sums: FoldSums, basis: RingBasis, tau2: torch.Tensor) -> torch.Tensor:
    """Maps (K, n, n, n) that the statistics and a prior of power tau2 (K, R) imply."""
    return torch.stack([density(sums.volume(k), basis, tau2[k]) for k in range(sums.count)])


def slices_of(maps: torch.Tensor, matrices: torch.Tensor, points: RingPoints) -> torch.Tensor:
    """Ring harmonics (K D, R, Q) of maps (K, n, n, n) seen along matrices (D, 3, 3)."""
    return torch.cat([ring_slices(prepared(volume), matrices, points) for volume in maps])


def log_volume_prior(members: torch.Tensor) -> torch.Tensor:
    """Log probabilities (K,) of volumes with so many members (K,), halfway to uniform.

    The pull keeps a volume from dying of its small size alone.
    """
    return torch.log_softmax(torch.log(members + members.mean() + 1e-6), 0)


def volume_references(
    slices: torch.Tensor, members: torch.Tensor, plan: SearchPlan, *, ctf_harmonics: int, offset_sd_px: float
) -> tuple[References | None, References]:
    """Slices (K D, R, Q) of volumes with so many members (K,), ready for a search; all directions are as probable."""
    each = len(slices) // len(members)
    prior = log_volume_prior(members) - torch.log(torch.tensor(float(each)))
    return plan.references(
        slices,
        ctf_harmonics=ctf_harmonics,
        log_class_prior=prior.repeat_interleave(each),
        offset_sd_px=offset_sd_px,
    )
