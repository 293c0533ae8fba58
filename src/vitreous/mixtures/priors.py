"""What is believed about a mixture before the data are seen."""

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import gammaln

from vitreous.mixtures.model import Mixture
from vitreous.require import require_positive

__all__ = ["MixturePrior", "log_prior", "sample_prior"]


@dataclass(frozen=True, kw_only=True)
class MixturePrior:
    """Means ~ N(0, 1 / mean_precision_per_A2), precision ~ Gamma(shape, rate), weights ~ Dirichlet(concentration).

    The defaults of shape and rate make components of about 10 Angstrom.
    """

    mean_precision_per_A2: float
    precision_shape: float = 10.0
    precision_rate_A2: float = 1000.0
    concentration: float = 10.0

    def __post_init__(self) -> None:
        require_positive(self, [field.name for field in fields(self)])


def sample_prior(prior: MixturePrior, components: int, dimension: int, rng: np.random.Generator) -> Mixture:
    """A mixture drawn from its prior."""
    return Mixture(
        means_A=rng.standard_normal((components, dimension)) / np.sqrt(prior.mean_precision_per_A2),
        weights=rng.dirichlet(np.full(components, prior.concentration)),
        precision_per_A2=rng.gamma(prior.precision_shape) / prior.precision_rate_A2,
    )


def log_prior(mixture: Mixture, prior: MixturePrior) -> float:
    """Log density of the prior at a mixture (weights on the simplex, means in A, precision in A^-2), normalised."""
    count, r, s = mixture.means_A.size, prior.mean_precision_per_A2, mixture.precision_per_A2
    a, b, alpha, k = prior.precision_shape, prior.precision_rate_A2, prior.concentration, len(mixture)
    means = 0.5 * count * np.log(r / (2 * np.pi)) - 0.5 * r * (mixture.means_A**2).sum()
    precision = a * np.log(b) - gammaln(a) + (a - 1) * np.log(s) - b * s
    log_weights = np.log(np.maximum(mixture.weights, np.finfo(float).tiny))
    weights = gammaln(k * alpha) - k * gammaln(alpha) + (alpha - 1) * log_weights.sum()
    return float(means + precision + weights)
