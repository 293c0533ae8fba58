"""What half-sets of a volume agree on, ring by ring.

The half maps are unregularised but for a constant per ring, then masked by the sphere of the particle. Maps that a
Wiener filter has been over must not be masked and compared: at rings that the filter has emptied, what the edge of the
mask carries over from strong rings is all there is, both halves have it, and they seem to agree where nothing is known.
"""

import torch

from vitreous.matching import RingBasis
from vitreous.quality import shell_correlation
from vitreous.volumes import VolumeSums, density, prior_share, ring_means

__all__ = ["CLAIM", "half_fsc", "resolved_rings"]

CLAIM = 0.143  # FSC of halves up to which a resolution is claimed
_KNOWN = 1.0  # the constant, in units of the mean of what the particles say about a sample of the ring


def half_fsc(a: VolumeSums, b: VolumeSums, basis: RingBasis) -> torch.Tensor:
    """FSC of two half-sets within the sphere of the particle, (rings,)."""
    return shell_correlation(_map(a, basis)[None], _map(b, basis)[None])[0, 1 : a.rings + 1]


def _map(sums: VolumeSums, basis: RingBasis) -> torch.Tensor:
    return density(sums, basis, prior_share(basis, sums.rings) / (_KNOWN * ring_means(sums)).clamp_min(1e-30))


def resolved_rings(fsc: torch.Tensor) -> int:
    """Rings before the first one whose FSC, smoothed with its neighbours' by 1/4, 1/2, 1/4, is below 0.143."""
    padded = torch.cat([fsc[:1], fsc, fsc[-1:]])
    smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
    poor = (smooth < CLAIM).nonzero().ravel()
    return int(poor[0]) if len(poor) else len(fsc)
