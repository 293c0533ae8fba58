"""Gaussian noise: the whole chain samples its posterior (Geweke's test)."""

from dataclasses import replace

import numpy as np
import pytest
from noisy import PRIOR, simulate

from vitreous.mixtures.gaussian_noise.global_poses import move_poses_globally
from vitreous.mixtures.gaussian_noise.hmc import first_step_size
from vitreous.mixtures.gaussian_noise.model import NoisyImages, NoisyMixture, sample_noisy_prior
from vitreous.mixtures.gaussian_noise.moves import Sampler
from vitreous.mixtures.gaussian_noise.noisy_stages import Chain, Steps, sweep
from vitreous.mixtures.model import image_centres
from vitreous.rotations import symmetry_matrices

BLANK = NoisyImages(images=np.zeros((2, 16, 16)), pixel_size_A=6.0)
# Noise so strong that the data say something and no more: the chain moves freely.
VAGUE = replace(PRIOR, noise_shape=6.0, noise_rate=60.0, scale_sd=1500.0)


def functions(model: NoisyMixture) -> list[float]:
    """What the two simulators are compared on: scalars of every parameter, and of their interplay."""
    m, g, t = model.posed.mixture, model.posed.rotations, model.posed.offsets_A
    seen = image_centres(m.means_A, g, t)
    return [
        np.log(m.precision_per_A2),
        (m.means_A**2).mean(),
        m.means_A[0, 0],
        m.means_A[0] @ m.means_A[1],
        np.log(model.scales[0]),
        model.scales.mean(),
        model.backgrounds[0],
        (model.backgrounds**2).mean(),
        np.log(model.noise_precisions).mean(),
        (t**2).mean(),
        t[0, 0],
        g[0, 0, 0],
        g[0, 2, 2] ** 2,
        np.trace(g[0].T @ g[1]),
        (seen[0, :, 0] * seen[1, :, 0]).mean(),
        (seen**2).mean(),
        (model.scales[:, None, None] * seen**2).mean() * m.precision_per_A2,
    ]


@pytest.mark.parametrize(("name", "with_global"), [("C1", True), ("D2", False)])
def test_geweke_joint_distribution_of_the_chain(name, with_global):
    """Alternating 'images given parameters' and 'parameters given images' must keep the prior (Geweke 2004)."""
    group = symmetry_matrices(name).numpy()
    rng = np.random.default_rng(12)
    direct = np.array([functions(sample_noisy_prior(VAGUE, 2, 2, rng)) for _ in range(20_000)])
    steps = Steps(
        means=first_step_size(3.0), poses=first_step_size(np.array([2.0, 3.0])), precision=first_step_size(0.6)
    )
    chain, values, accepted = Chain(model=sample_noisy_prior(VAGUE, 2, 2, rng), steps=steps), [], []
    for step in range(1500):
        sampler = Sampler(data=simulate(chain.model, VAGUE, group, BLANK, rng), prior=VAGUE, group=group)
        chain, share = sweep(sampler, chain, rng)
        if with_global and step % 5 == 0:
            chain = replace(chain, model=move_poses_globally(sampler, chain.model, 20, rng))
        values.append(functions(chain.model))
        accepted.append(share)
    batches = np.array(values).reshape(30, 50, -1).mean(1)
    error = np.hypot(batches.std(0, ddof=1) / np.sqrt(30), direct.std(0) / np.sqrt(len(direct)))
    assert 0.4 < np.mean(accepted) < 0.99
    assert np.abs((batches.mean(0) - direct.mean(0)) / error).max() < 4.0
