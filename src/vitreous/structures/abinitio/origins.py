"""How wide the prior on origins is, and when it may be learnt.

The width is half of the range until it is learnt from where the particles are found, and that is wrong before images
decide their views: a particle is then put where it fits a wrong map, which is nearer to the centre of its box than it
is, the width shrinks with what it allows, and so does the reach of the search. Evidence against an empty volume does
not say that views are decided: a particle with much low-resolution contrast, as a ribosome of real density has, gains
15 nats from any ball of its size. What views are worth is the evidence beyond that of the spherical average of the
same volumes.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vitreous.matching import PreparedParticles, SearchPlan, expect, stacked
from vitreous.processes import ALONE, Processes, by_process
from vitreous.structures.abinitio.statistics import FoldSums, volume_references

__all__ = ["VIEWS_NATS", "learnt_offset_sd_A", "spherical", "spherical_evidence"]

VIEWS_NATS = 6.0  # evidence of the views per image at which a pose, one of some ten thousand, is decided by the image
LEAST_SD = 1 / 3  # of the range: the least width that is learnt


def learnt_offset_sd_A(parts: Sequence[FoldSums], offset_range_A: float, pixel_size_A: float) -> float:
    """Standard deviation of shifts per axis under the posteriors, in Angstrom; never below a third of the range."""
    total = stacked(parts, "members").sum()
    found_px = float((stacked(parts, "offset_square_px2").sum() / (2 * total)).sqrt())
    return max(LEAST_SD * offset_range_A, found_px * pixel_size_A)


def spherical(slices: torch.Tensor, volumes: int) -> torch.Tensor:
    """Slices (K, R, Q) of the spherical averages of K volumes, from slices (K D, R, Q) along D even directions.

    A sphere looks the same from everywhere, and its slice has no harmonic but the first.
    """
    mean = slices.reshape(volumes, -1, *slices.shape[1:]).mean(1)
    mean[:, :, 1:] = 0
    return mean


def spherical_evidence(
    data: PreparedParticles,
    plan: SearchPlan,
    slices: torch.Tensor,
    members: torch.Tensor,
    noise_power: torch.Tensor,
    index: np.ndarray,
    *,
    offset_sd_px: float,
    processes: Processes = ALONE,
) -> float:
    """Mean log evidence of particles ``index`` for the spherical averages of volumes with so many members (K,).

    slices: (K D, R, Q) of the volumes. The spheres have seen the particles, too; a sphere has one number per ring, so
    that this is worth some hundredths of a nat per image.
    """
    references = volume_references(
        spherical(slices, len(members)), members, plan, ctf_harmonics=data.ctf_harmonics, offset_sd_px=offset_sd_px
    )
    own = by_process(index, processes)[processes.rank]
    return float(processes.gather(expect(data, own, plan, references, noise_power)[1]).log_evidence.mean())
