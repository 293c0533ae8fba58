"""Class averages as projections of a mixture with Gaussian noise: the parameters, their priors, the data.

    y_ij ~ N( lambda_i C_i p_ij + b_i, 1 / beta_i ),     p_ij = (s / 2 pi K) sum_k exp(-s/2 |x_j - m_ik|^2)

m_ik is where component k appears in image i (x and y of ``G_i^T mu_k`` plus the offset t_i), C_i the CTF of the image
(or nothing). The components have one weight. Scale, background and noise are the image's own, so that averages of any
normalisation, with negative pixels and without a mask, can be used together.
"""

from dataclasses import dataclass, fields

import numpy as np

from vitreous.mixtures._require import require_positive
from vitreous.mixtures.gibbs_projections import PosedMixture
from vitreous.mixtures.global_rotations import random_rotation_matrices
from vitreous.mixtures.model import Mixture

__all__ = ["GaussianNoisePrior", "NoisyImages", "NoisyMixture", "sample_noisy_prior"]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisyImages:
    """``images`` float32 (n, L, L); ``ctf`` float32 (n, L, L // 2 + 1) in the rfft layout, or None."""

    images: np.ndarray
    pixel_size_A: float
    ctf: np.ndarray | None = None

    def __post_init__(self) -> None:
        images = np.ascontiguousarray(self.images, dtype=np.float32)
        if images.ndim != 3 or images.shape[1] != images.shape[2] or images.size == 0:
            raise ValueError(f"NoisyImages.images: expected (n, L, L), found shape {images.shape}")
        if not (np.isfinite(self.pixel_size_A) and self.pixel_size_A > 0):
            raise ValueError(f"NoisyImages.pixel_size_A: expected a positive number, found {self.pixel_size_A}")
        expected = (*images.shape[:2], images.shape[2] // 2 + 1)
        if self.ctf is not None and np.shape(self.ctf) != expected:
            raise ValueError(f"NoisyImages.ctf: expected {expected}, one per image, found shape {np.shape(self.ctf)}")
        object.__setattr__(self, "images", images)
        if self.ctf is not None:
            object.__setattr__(self, "ctf", np.ascontiguousarray(self.ctf, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def box_px(self) -> int:
        """Side of the images."""
        return self.images.shape[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class NoisyMixture:
    """All parameters. The weights of ``posed.mixture`` are equal and sum to 1; a scale is a particle's integral."""

    posed: PosedMixture
    scales: np.ndarray  # (n,) lambda, in image units times A^2, positive
    backgrounds: np.ndarray  # (n,) b, in image units
    noise_precisions: np.ndarray  # (n,) beta


@dataclass(frozen=True, kw_only=True)
class GaussianNoisePrior:
    """mu ~ N(0, 1/r), s ~ Gamma, lambda ~ N(0, scale_sd^2) above zero, b and t normal, beta ~ Gamma; R uniform."""

    mean_precision_per_A2: float
    scale_sd: float
    background_sd: float
    precision_shape: float = 10.0
    precision_rate_A2: float = 1000.0
    noise_shape: float = 1.0
    noise_rate: float = 0.01
    offset_sd_A: float = 10.0

    def __post_init__(self) -> None:
        require_positive(self, [field.name for field in fields(self)])


def sample_noisy_prior(
    prior: GaussianNoisePrior, images: int, components: int, rng: np.random.Generator
) -> NoisyMixture:
    """Parameters drawn from their prior."""
    mixture = Mixture(
        means_A=rng.standard_normal((components, 3)) / np.sqrt(prior.mean_precision_per_A2),
        weights=np.full(components, 1.0 / components),
        precision_per_A2=rng.gamma(prior.precision_shape) / prior.precision_rate_A2,
    )
    posed = PosedMixture(
        mixture=mixture,
        rotations=random_rotation_matrices(images, rng),
        offsets_A=rng.standard_normal((images, 2)) * prior.offset_sd_A,
    )
    return NoisyMixture(
        posed=posed,
        scales=np.abs(rng.standard_normal(images)) * prior.scale_sd,
        backgrounds=rng.standard_normal(images) * prior.background_sd,
        noise_precisions=rng.gamma(prior.noise_shape, size=images) / prior.noise_rate,
    )
