"""A small problem with Gaussian noise for the tests."""

from dataclasses import replace

import numpy as np

from vitreous.mixtures.gaussian_noise.forward import projections
from vitreous.mixtures.gaussian_noise.model import GaussianNoisePrior, NoisyImages, NoisyMixture, sample_noisy_prior
from vitreous.mixtures.gaussian_noise.moves import Sampler
from vitreous.rotations import symmetry_matrices

ONE = np.eye(3)[None]
PRIOR = GaussianNoisePrior(
    mean_precision_per_A2=1 / 225,
    scale_sd=2000.0,
    background_sd=0.5,
    precision_shape=12.0,
    precision_rate_A2=600.0,
    noise_shape=4.0,
    noise_rate=0.5,
    offset_sd_A=4.0,
)


def simulate(
    model: NoisyMixture, prior: GaussianNoisePrior, group: np.ndarray, blank: NoisyImages, rng: np.random.Generator
) -> NoisyImages:
    """Images drawn from the model."""
    clean = projections(blank, model.posed, group) * model.scales[:, None, None] + model.backgrounds[:, None, None]
    noise = rng.standard_normal(clean.shape) / np.sqrt(model.noise_precisions)[:, None, None]
    return replace(blank, images=clean + noise)


def random_scene(
    name: str,
    *,
    images: int = 3,
    components: int = 5,
    with_ctf: bool = False,
    noise: float = 8.0,
    sigma_A: float = 7.0,
    seed: int = 0,
) -> tuple[Sampler, NoisyMixture]:
    """Images 24 x 24 of 5 A of a mixture drawn from the prior, with images' parameters of a fixed size."""
    rng = np.random.default_rng(seed)
    group = symmetry_matrices(name).numpy()
    model = sample_noisy_prior(PRIOR, images, components, rng)
    posed = replace(model.posed, mixture=replace(model.posed.mixture, precision_per_A2=sigma_A**-2))
    model = NoisyMixture(
        posed=posed,
        scales=np.full(images, 3000.0),
        backgrounds=np.linspace(-0.2, 0.2, images),
        noise_precisions=np.full(images, noise),
    )
    ctf = _ctf(images) if with_ctf else None
    blank = NoisyImages(images=np.zeros((images, 24, 24)), pixel_size_A=5.0, ctf=ctf)
    return Sampler(data=simulate(model, PRIOR, group, blank, rng), prior=PRIOR, group=group), model


def _ctf(images: int) -> np.ndarray:
    """A round, oscillating filter for every image."""
    k = np.hypot(np.fft.fftfreq(24)[:, None], np.fft.rfftfreq(24))
    return np.stack([np.cos(40.0 * (1.0 + 0.2 * i) * k**2 - 0.5) for i in range(images)])
