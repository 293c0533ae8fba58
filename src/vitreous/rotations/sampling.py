"""Sets of rotations and directions: random, HEALPix, Fibonacci."""

import math

import torch

__all__ = ["fibonacci_directions", "healpix_directions", "quaternions_to_matrices", "random_rotations"]


def random_rotations(count: int, *, seed: int) -> torch.Tensor:
    """``count`` rotations, uniform on SO(3) (normalised Gaussian quaternions): float64 (count, 3, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return quaternions_to_matrices(torch.randn(count, 4, generator=generator, dtype=torch.float64))


def quaternions_to_matrices(quaternions: torch.Tensor) -> torch.Tensor:
    """Rotation matrices of quaternions (..., 4) = (w, x, y, z) of any non-zero length -> (..., 3, 3)."""
    w, x, y, z = (quaternions / quaternions.norm(dim=-1, keepdim=True)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def healpix_directions(nside: int) -> torch.Tensor:
    """Centres of the 12 nside^2 equal-area HEALPix pixels, ring order: float64 unit vectors (12 nside^2, 3).

    Gorski et al. 2005, equations 4-9; nside is any positive integer (powers of two for RELION's orders,
    nside = 2^order).
    """
    if nside < 1:
        raise ValueError(f"HEALPix nside must be a positive integer, found {nside}")
    rings = torch.arange(1, 4 * nside)
    from_pole = torch.minimum(rings, 4 * nside - rings)
    in_cap = from_pole < nside
    members = 4 * torch.where(in_cap, from_pole, nside)
    cap = (1.0 - from_pole.to(torch.float64) ** 2 / (3.0 * nside**2)) * torch.sign(2 * nside - rings)
    z = torch.where(in_cap, cap, 4.0 / 3.0 - 2.0 * rings.to(torch.float64) / (3.0 * nside))
    offset = torch.where(in_cap | ((rings + nside) % 2 == 0), 0.5, 1.0)  # every second ring starts at phi = 0

    ring = torch.repeat_interleave(torch.arange(len(rings)), members)
    start = torch.cumsum(members, 0) - members
    j = torch.arange(len(ring)) - start[ring] + 1
    phi = 2.0 * math.pi * (j - offset[ring].to(torch.float64)) / members[ring]
    return _directions(z[ring], phi)


def fibonacci_directions(count: int) -> torch.Tensor:
    """``count`` nearly evenly spread directions on a golden spiral (Swinbank and Purser 2006): float64 (count, 3)."""
    if count < 1:
        raise ValueError(f"the number of directions must be positive, found {count}")
    index = torch.arange(count, dtype=torch.float64)
    golden_angle = math.pi * (3.0 - math.sqrt(5.0))
    return _directions(1.0 - (2.0 * index + 1.0) / count, golden_angle * index)


def _directions(z: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    radius = torch.sqrt((1.0 - z * z).clamp(min=0.0))
    return torch.stack([radius * torch.cos(phi), radius * torch.sin(phi), z], dim=-1)
