"""Where in the box the signal of a map is: the local standard deviation that its prior has.

Model: ``V(x) = s(x) u(x)``, with u stationary, of power tau^2 on every shell, and s smooth. A prior that knows s puts
into the sphere of a particle no more noise than belongs to the particle, and shrinks a rim that errors of poses have
blurred more than the centre. With s a soft sphere it is what :func:`least_squares` has always assumed.

s^2 is estimated from two maps of independent noise n1, n2: where all shells are scaled to one power and weighed by the
correlation c of the maps, the product ``(V + n1) (V + n2)`` has a mean in proportion to s^2, and the noise adds nothing
to it but variance, which a Gaussian of some resolution elements averages out.
"""

import torch
from scipy.ndimage import gaussian_filter

from vitreous.quality import soft_ball
from vitreous.volumes.shells import shell_index, shell_products

__all__ = ["signal_envelope"]

RESOLVED = 0.143  # of the FSC of the halves; s is averaged over lengths in units of this resolution
LENGTHS = 2.5  # standard deviation of the average
PEAK = 0.95  # quantile within the sphere that is 1
FLOOR = 0.1  # nothing is ruled out


def signal_envelope(halves: tuple[torch.Tensor, torch.Tensor], fsc: torch.Tensor, radius_px: float) -> torch.Tensor:
    """s (n, n, n), from 0.1 to 1, within the particle's soft sphere, which it is multiplied by.

    halves: unfiltered maps (n, n, n); fsc: (n // 2 + 1,) of them within the sphere, 0 from where there is no signal.
    Halves that agree on fewer than two shells say nothing, and s is the sphere.

    >>> halves = torch.randn(2, 16, 16, 16)
    >>> bool((signal_envelope((halves[0], halves[1]), torch.zeros(9), 6.0) == soft_ball(16, 5.1, 0.9)).all())
    True
    """
    n = len(halves[0])
    ball = soft_ball(n, 0.85 * radius_px, 0.15 * radius_px)
    poor = torch.nonzero(fsc[1:] < RESOLVED)
    shells = int(poor[0]) if len(poor) else len(fsc) - 1
    if shells < 2:
        return ball
    a, b = (torch.fft.rfftn(half * ball) for half in halves)
    _, power_a, power_b = shell_products(a, b)
    weight = fsc.double() / (power_a * power_b).sqrt().clamp_min(1e-30) * _sizes(n)
    weight[0] = weight[1]
    weight[shells + 1 :] = 0
    gain = torch.cat([weight.clamp_min(0).sqrt(), weight.new_zeros(n)])[shell_index(n)].float()
    product = torch.fft.irfftn(a * gain, s=(n, n, n)) * torch.fft.irfftn(b * gain, s=(n, n, n))
    common = torch.from_numpy(gaussian_filter(product.numpy(), LENGTHS * n / shells))
    top = torch.quantile(common[ball > 0.5], PEAK)
    if not top > 0:
        return ball
    return (common / top).clamp(FLOOR**2, 1.0).sqrt() * ball


def _sizes(n: int) -> torch.Tensor:
    """Number of coefficients of every shell (n // 2 + 1)."""
    one = torch.ones(n, n, n // 2 + 1)
    return shell_products(one + 0j, one + 0j)[1]
