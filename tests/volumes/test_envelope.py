"""The envelope of a map: where in its box a signal is that two noisy maps have in common."""

import torch

from vitreous.quality import shell_correlation, soft_ball
from vitreous.volumes.reconstruction import signal_envelope

N, RADIUS_PX = 32, 14.0


def halves_of(s: torch.Tensor, noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two maps of s times white noise, with noise of their own, and their FSC within the sphere."""
    random = torch.Generator().manual_seed(seed)
    signal = s * torch.randn(N, N, N, generator=random)
    a, b = (signal + noise * torch.randn(N, N, N, generator=random) for _ in range(2))
    ball = soft_ball(N, 0.85 * RADIUS_PX, 0.15 * RADIUS_PX)
    return a, b, shell_correlation(a * ball, b * ball).clamp_min(0)


def test_the_envelope_is_where_the_signal_is():
    """A half of the sphere has three times the signal of the other half; the FSC is 0.5 to 0.6."""
    s = torch.full((N, N, N), 1 / 3)
    s[:, :, N // 2 :] = 1.0
    a, b, fsc = halves_of(s, 0.7, seed=3)
    found = signal_envelope((a, b), fsc, RADIUS_PX)
    inner = soft_ball(N, 11.0, 0.0) > 0.5
    weak, strong = (found[:, :, some][inner[:, :, some]] for some in (slice(0, 9), slice(N // 2 + 4, N)))
    assert 0.9 < float(strong.mean()) <= 1.0
    assert 0.25 < float(weak.mean()) < 0.5  # 1/3 is true; seven voxels are 1.4 standard deviations of the average


def test_without_a_common_signal_it_is_the_sphere():
    a, b, _ = halves_of(torch.zeros(N, N, N), 1.0, seed=4)
    assert torch.equal(
        signal_envelope((a, b), torch.zeros(N // 2 + 1), RADIUS_PX), soft_ball(N, 0.85 * RADIUS_PX, 0.15 * RADIUS_PX)
    )


def test_the_scale_of_a_map_does_not_matter():
    a, b, fsc = halves_of(soft_ball(N, 6.0, 2.0), 0.5, seed=5)
    assert torch.allclose(
        signal_envelope((a, b), fsc, RADIUS_PX), signal_envelope((100 * a, 0.01 * b), fsc, RADIUS_PX), atol=1e-4
    )
