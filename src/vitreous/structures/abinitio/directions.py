"""Directions from which volumes are looked at: an even grid, turned at random in every pass.

A fixed grid would leave its spacing in the volume and let particles settle on its points; a grid that turns is a
different quadrature of the same integral over directions every time.
"""

import math

import torch

from vitreous.randomness import torch_generator
from vitreous.rotations import fibonacci_directions, quaternions_to_matrices

__all__ = ["asymmetric_unit", "direction_step_deg", "directions_for", "slice_matrices"]

GENERIC = (0.2843, 0.4721, 0.8344)  # a point on no axis and no mirror plane of any group


def direction_step_deg(resolution_A: float, diameter_A: float) -> float:
    """Distance of directions at which the rim of the particle moves by one resolution element."""
    return math.degrees(resolution_A / diameter_A)


def directions_for(step_deg: float, group: torch.Tensor, *, seed: int, purpose: tuple[str | int, ...]) -> torch.Tensor:
    """Directions (D, 3), each standing for a square of side ``step_deg``, within one asymmetric unit, turned at random.

    group: (m, 3, 3).
    """
    count = max(12, math.ceil(4 * math.pi / math.radians(step_deg) ** 2))
    random = torch.randn(1, 4, generator=torch_generator(seed, *purpose), dtype=torch.float64)
    turned = fibonacci_directions(count) @ quaternions_to_matrices(random)[0].T
    return turned[asymmetric_unit(turned, group)]


def asymmetric_unit(directions: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Which directions (D, 3) lie in one asymmetric unit of a point group (m, 3, 3): (D,) bool.

    Those that are nearer to a point in general position than any of their copies are (Dirichlet's domain).
    """
    generic = torch.tensor(GENERIC, dtype=directions.dtype)
    generic = generic / generic.norm()
    near = (directions @ group.to(directions).mT @ generic).T  # (D, m): of the copy S d, the identity first
    return near[:, 0] >= near.amax(1) - 1e-12


def slice_matrices(directions: torch.Tensor) -> torch.Tensor:
    """G = Rz(rot) Ry(tilt) of directions (D, 3): float64 (D, 3, 3), the direction is its third column."""
    x, y, z = directions.double().unbind(1)
    rot, sin_tilt = torch.atan2(y, x), torch.hypot(x, y)
    c, s = torch.cos(rot), torch.sin(rot)
    rows = [
        torch.stack([c * z, -s, c * sin_tilt], 1),
        torch.stack([s * z, c, s * sin_tilt], 1),
        torch.stack([-sin_tilt, torch.zeros_like(z), z], 1),
    ]
    return torch.stack(rows, 1)
