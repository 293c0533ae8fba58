"""Euler angles ZYZ (rot, tilt, psi) in degrees <-> the matrix G of :mod:`vitreous.conventions`, and distances."""

import torch

__all__ = [
    "direction_distance_deg",
    "euler_to_matrix",
    "matrix_to_euler",
    "rotation_distance_deg",
    "viewing_directions",
]


def euler_to_matrix(angles_deg: torch.Tensor) -> torch.Tensor:
    """G = Rz(rot) Ry(tilt) Rz(psi): angles (..., 3) = (rot, tilt, psi) in degrees -> (..., 3, 3)."""
    if angles_deg.shape[-1] != 3:
        raise ValueError(f"Euler angles: expected (..., 3) for (rot, tilt, psi), found {tuple(angles_deg.shape)}")
    a, b, c = torch.deg2rad(angles_deg).unbind(-1)
    ca, sa, cb, sb, cc, sc = a.cos(), a.sin(), b.cos(), b.sin(), c.cos(), c.sin()
    rows = [
        torch.stack([ca * cb * cc - sa * sc, -ca * cb * sc - sa * cc, ca * sb], dim=-1),
        torch.stack([sa * cb * cc + ca * sc, -sa * cb * sc + ca * cc, sa * sb], dim=-1),
        torch.stack([-sb * cc, sb * sc, cb], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def matrix_to_euler(matrices: torch.Tensor) -> torch.Tensor:
    """Angles (rot, tilt, psi) in degrees of G (..., 3, 3) -> (..., 3), with tilt in 0..180.

    Where the tilt is 0 or 180 only one combination of rot and psi is defined; rot is then 0.
    """
    g = matrices
    sin_tilt = torch.hypot(g[..., 0, 2], g[..., 1, 2])
    pole = sin_tilt < 8.0 * torch.finfo(g.dtype).eps
    zero = torch.zeros_like(sin_tilt)
    rot = torch.where(pole, zero, torch.atan2(g[..., 1, 2], g[..., 0, 2]))
    tilt = torch.atan2(sin_tilt, g[..., 2, 2])
    psi = torch.where(
        pole, torch.atan2(g[..., 1, 0], g[..., 1, 1]), torch.atan2(g[..., 2, 1], -g[..., 2, 0])
    )  # at the pole rot = 0 leaves row y as (sin psi, cos psi, 0)
    return torch.rad2deg(torch.stack([rot, tilt, psi], dim=-1))


def viewing_directions(matrices: torch.Tensor) -> torch.Tensor:
    """Direction of projection in the volume, the third column of G: (..., 3, 3) -> unit vectors (..., 3)."""
    return matrices[..., :, 2]


def direction_distance_deg(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle between directions (..., 3) in degrees, 0..180, accurate at both ends; leading axes broadcast."""
    cross = torch.linalg.cross(*torch.broadcast_tensors(a, b)).norm(dim=-1)
    return torch.rad2deg(torch.atan2(cross, (a * b).sum(dim=-1)))


def rotation_distance_deg(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Angle of the rotation between G_a and G_b (..., 3, 3) in degrees, 0..180; leading axes broadcast.

    From the chord, |A - B|_F = 2 sqrt(2) sin(angle / 2), and the trace, so that it is accurate at both ends.
    """
    half_sine = torch.linalg.matrix_norm(a - b) / 8.0**0.5
    half_cosine_squared = ((a * b).sum(dim=(-2, -1)) + 1.0) / 4.0
    return torch.rad2deg(2.0 * torch.atan2(half_sine, half_cosine_squared.clamp(min=0.0).sqrt()))
