"""How far an image is from the average of the others of its group: what alignment and labels cannot see.

A particle with a neighbour beside it aligns, and is classified, by the particle; but what the average does not explain
of it is more than noise. With X the image, C its CTF, sigma^2 the noise and A_i the average without the image, brought
to its pose,

    d_i = sum_r w_r / sigma^2(r)  mean_theta |X - C A_i|^2,

a sum over w independent Fourier coefficients that is w on average, with a spread of sqrt(2 w), where the image is the
average and noise. Views differ within a class and noise spectra are estimates, so an image is compared with the bulk of
all: :func:`standardised` measures it in robust standard deviations about the median.
"""

from dataclasses import replace

import numpy as np
import torch

from vitreous.alignment.groups import Groups, Matching
from vitreous.matching import Alignments, PreparedParticles, accumulate_at, rows_at

__all__ = ["residuals", "standardised"]

TILE = 512
MAD_TO_SD = 1.4826  # of a Gaussian


def residuals(
    data: PreparedParticles,
    groups: Groups,
    alignments: Alignments,
    noise_power: torch.Tensor,
    tau2: torch.Tensor,
    matching: Matching,
    rings: int,
) -> np.ndarray:
    """d (m,) of rows whose alignments are to averages 0 ... ``groups.count`` - 1; tau2: (>= rings,) of the signal.

    For a round CTF; of an astigmatic one the norm of the average takes its mean over the ring.
    """
    basis = data.basis.truncated(rings)
    multiplicity, weight = basis.multiplicity.to(data.device), basis.ring_weight.to(data.device)
    every = accumulate_at(data, alignments, groups.count, noise_power, rings=rings)

    def power(rows: torch.Tensor) -> torch.Tensor:
        return (rows.abs().square() * multiplicity).sum(2)

    found = []
    for start in range(0, len(alignments), TILE):
        part = alignments.take(slice(start, start + TILE))
        _, own = rows_at(data, part, noise_power, basis)
        label = torch.from_numpy(part.reference).to(data.device)
        others = replace(
            own.sums, signal=every.signal[label] - own.sums.signal, power=every.power[label] - own.sums.power
        )
        average = matching.averages(others, tau2[:rings])
        packed = torch.from_numpy(np.ascontiguousarray(data.packed[part.particle])).to(data.device)
        noise = noise_power[torch.from_numpy(data.noise_group[part.particle]).to(data.device), :rings]
        image = power(data.basis.unpack(packed, rings)) / noise
        cross = ((average.conj() * own.sums.signal).real * multiplicity).sum(2)
        found.append(((image - 2 * cross + power(average) * own.sums.power) * weight).sum(1).cpu().numpy())
    return np.concatenate(found)


def standardised(values: np.ndarray) -> np.ndarray:
    """Values (m,) about their median, in robust standard deviations; zeros where they have no spread."""
    middle = np.median(values)
    spread = MAD_TO_SD * np.median(np.abs(values - middle))
    return (values - middle) / spread if spread > 0 else np.zeros(len(values))
