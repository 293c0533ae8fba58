"""Is there anything? Images that the model has not seen decide whether its covariance is more than noise.

With a prior N(mu, S) for the clean coefficients and matched ones z of noise covariance K, an image is likelier than
under noise alone by

    log p(z | S) - log p(z | 0) = sum_q w_q [ y^H L y - log det(1 + S K) ] + mu^T z_0 - mu^T K mu / 2,
    y = z - K mu,    L = (S^-1 + K)^-1,    w_0 = 1/2,    w_q = 1 (an order q > 0 stands for -q too).

Mean and covariance from one part of the images are tried on the others. A covariance that was estimated from noise
loses on images that it has not seen; a true one gains. (The same question as :mod:`vitreous.matching.noise_test`.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.covariance.estimate import estimate_covariance, estimate_mean
from vitreous.averages.covariance.moments import add_moments, empty_moments
from vitreous.averages.covariance.prepare import MatchedImages
from vitreous.averages.covariance.prior import ImagePrior, posterior_block
from vitreous.fourier import FourierBessel

__all__ = ["Verdict", "log_gain", "verdict"]

MOST_LEARNT, MOST_TRIED, TRIED_SHARE = 20_000, 2_000, 0.25
SIGMAS, NATS = 4.0, 2.0  # by which unseen images must be likelier with the covariance than without


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """gain: nats by which an unseen image is likelier with the model than as noise, on average; sigmas: of it."""

    gain: float
    sigmas: float

    @property
    def found_signal(self) -> bool:
        """Whether the images are more than noise to the model."""
        return self.gain > NATS and self.sigmas > SIGMAS


def log_gain(
    basis: FourierBessel,
    prior: ImagePrior,
    information: Sequence[torch.Tensor],
    matched: torch.Tensor,
    group: torch.Tensor,
) -> torch.Tensor:
    """The nats of the module docstring for matched coefficients (n, M) of groups (n,): (n,) float64."""
    gain = torch.zeros(len(matched), dtype=torch.float64)
    mean = prior.mean.double()
    for q, block in enumerate(basis.blocks):
        s, k = prior.covariance[q].double(), information[q].double()
        posterior = posterior_block(s, k)
        volume = torch.linalg.slogdet(torch.eye(len(s), dtype=s.dtype) + s @ k).logabsdet
        z = matched[:, block].to(torch.complex128)
        if q == 0:
            seen = torch.einsum("gkl,l->gk", k, mean)
            gain += z.real @ mean - 0.5 * (seen @ mean)[group]
            z = z - seen[group]
        for g in torch.unique(group).tolist():
            mine = torch.nonzero(group == g)[:, 0]
            y = torch.cat([z[mine].real, z[mine].imag])
            size = ((y @ posterior[g]) * y).sum(1)
            gain[mine] += (0.5 if q == 0 else 1.0) * (size[: len(mine)] + size[len(mine) :] - volume[g])
    return gain


def verdict(matched: MatchedImages) -> Verdict:
    """Learn from three quarters of the images (20,000 at most), and try on others (2,000 at most)."""
    good = np.flatnonzero(~matched.bad)
    tried = good[:: round(1 / TRIED_SHARE)]
    learnt = np.setdiff1d(good, tried)[:MOST_LEARNT]
    tried = tried[:MOST_TRIED]
    if len(learnt) < 2 or len(tried) < 2:
        return Verdict(gain=0.0, sigmas=0.0)
    basis, information = matched.plan.basis, matched.information
    moments = empty_moments(basis, len(information[0]))
    for rows in np.array_split(learnt, max(1, len(learnt) // 4096)):
        z, group = torch.from_numpy(np.array(matched.matched[rows])), torch.from_numpy(matched.group[rows])
        moments = add_moments(moments, basis, z, group)
    mean = estimate_mean(moments, information)
    prior = estimate_covariance(moments, information, mean)
    z, group = torch.from_numpy(np.array(matched.matched[tried])), torch.from_numpy(matched.group[tried])
    gain = log_gain(basis, prior, information, z, group)
    error = float(gain.std() / len(gain) ** 0.5)
    return Verdict(gain=float(gain.mean()), sigmas=float(gain.mean()) / max(error, 1e-9))
