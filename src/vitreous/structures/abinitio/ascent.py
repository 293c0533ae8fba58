"""Stochastic gradient ascent on the marginal likelihood: the gradient of a batch, and the step that it makes.

The log likelihood of an image is ``log sum_h pi_h exp l(h)`` over hypotheses h (volume, direction, rotation in the
plane, origin), ``l = - sum_p w_p |X_p - C_p (T_h V)_p|^2 / sigma^2``, with T_h the slice at the ring points p. V is
given by its samples on the oversampled grid of a prepared volume, of which T_h is a linear function (trilinear). With
posteriors ``gamma_h = pi_h exp l(h) / sum`` the terms of dgamma cancel (Fisher's identity), and

    g = dL/dRe V + i dL/dIm V = 2 sum_i sum_h gamma_h T_h^T w C (X - C T_h V) / sigma^2

are residuals under posterior weights, inserted as slices. The matching core gives, for every direction, ``signal``, the
sum of gamma C X / sigma^2 turned and shifted back, and ``power``, the sum of gamma C^2 / sigma^2 (its mean over a ring,
which is exact where the CTF is isotropic), so that g / 2 is one insertion of ``signal - power (T V)`` per direction.
Where posteriors are raised to a power b (sigma^2 is multiplied by 1 / b), g is the gradient of
``1/b log sum_h (pi_h exp l)^b``.

Preconditioner: ``D = T^T w C^2 / sigma^2`` under the posteriors plus the prior ``share / tau^2``. D holds the row sums
of the matrix of second derivatives of the expected complete-data log likelihood; since the weights of an interpolation
sum to one, the diagonal D is at least as large as that matrix (Jensen), and a step of rate 1 does not overshoot. With D
of all particles in sight it is the M-step of EM, which makes the method stepwise EM (Cappe and Moulines 2009) with
momentum.
The step is taken in real space, where the map is corrected for interpolation and masked by the particle's sphere.

Sources: Punjani et al. 2017 (cryoSPARC; momentum, noise annealing); SCIENCE.md section 11.
"""

from dataclasses import dataclass, replace

import torch

from vitreous.matching import RingBasis, Sums
from vitreous.structures.abinitio.statistics import FoldSums
from vitreous.volumes import VolumeSums, density, prepared, sinc_squared

__all__ = ["Ascent", "Gradient", "ascended", "residual"]


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """maps: (K, n, n, n) as they are now; velocity: (K, n, n, n), the running mean of their steps."""

    maps: torch.Tensor
    velocity: torch.Tensor

    @classmethod
    def at(cls, maps: torch.Tensor) -> "Ascent":
        """At rest."""
        return cls(maps=maps, velocity=torch.zeros_like(maps))


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Half of the gradient of a batch on the grids of K volumes, (K, ...) complex; gradients add up."""

    half: torch.Tensor


def residual(sums: Sums, slices: torch.Tensor) -> Sums:
    """The sums of references with what slices (K D, R, Q) of the volumes explain taken from their signal."""
    return replace(sums, signal=sums.signal - sums.power[:, :, None] * slices)


def ascended(
    ascent: Ascent,
    gradient: Gradient,
    seen: FoldSums,
    scale: float,
    basis: RingBasis,
    tau2: torch.Tensor,
    *,
    rate: float,
    momentum: float,
) -> Ascent:
    """After a step along the gradient of a batch.

    seen: statistics whose denominators are the curvature; scale: particles in them over those of the batch; tau2: (K,
    R) of the prior.
    """
    steps = []
    for k, volume in enumerate(ascent.maps):
        known = seen.volume(k)
        # (g + D V) / (D + prior) - V = (g - prior V) / (D + prior): likelihood and prior in one step.
        present = prepared(volume * sinc_squared(len(volume)).to(volume.device).square())
        numerator = scale * gradient.half[k] + known.denominator * present
        goal = density(VolumeSums(numerator=numerator, denominator=known.denominator), basis, tau2[k])
        steps.append(goal - volume)
    velocity = momentum * ascent.velocity + (1 - momentum) * torch.stack(steps)
    return Ascent(maps=ascent.maps + rate * velocity, velocity=velocity)
