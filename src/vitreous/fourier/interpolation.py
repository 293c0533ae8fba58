"""Trilinear interpolation in a prepared volume at the points of rotated planes, and its exact adjoint.

The volume has the layout of :mod:`vitreous.fourier.slices`. Plane points (2, p) are in its samples, that is ``padding``
times Fourier pixels; the point (x, y) of a plane with the matrix G lies at ``G (x, y, 0)``. Points in the half space
kx < 0 are taken from their Friedel mates. On a CPU both are compiled loops, elsewhere PyTorch; they agree within
rounding.
"""

import numpy as np
import torch
from torch.nn.functional import grid_sample

from vitreous.fourier._kernels.planes import add_planes, take_planes

__all__ = ["insert_points", "slice_points"]


def slice_points(volume_ft: torch.Tensor, matrices: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    """Values of a volume at the points (2, p) of planes with matrices (m, 3, 3): complex (m, p).

    ValueError for a point beyond the volume.
    """
    _check_reach(volume_ft, plane)
    if volume_ft.device.type != "cpu":
        return _slice_elsewhere(volume_ft, matrices, plane)
    out = torch.empty(len(matrices), plane.shape[1], dtype=torch.complex64)
    take_planes(_real(volume_ft), matrices.float().numpy(), plane.float().numpy(), torch.view_as_real(out).numpy())
    return out


def insert_points(
    numerator: torch.Tensor,
    denominator: torch.Tensor,
    values: torch.Tensor,
    weights: torch.Tensor,
    matrices: torch.Tensor,
    plane: torch.Tensor,
) -> None:
    """Add values (m, p) and weights (m, p) at plane points, in place: the adjoint of :func:`slice_points`.

    numerator: complex, denominator: real, both with the shape of a prepared volume. The inner product is that of
    :func:`vitreous.fourier.insert_slices`: over stored points and stored samples.
    """
    _check_reach(numerator, plane)
    if numerator.device.type != "cpu":
        _insert_elsewhere(numerator, denominator, values, weights, matrices, plane)
        return
    flat = torch.view_as_real(values.to(torch.complex64).contiguous()).numpy()
    add_planes(
        _real(numerator),
        denominator.numpy(),
        flat,
        weights.float().contiguous().numpy(),
        matrices.float().numpy(),
        plane.float().numpy(),
    )


def _real(volume_ft: torch.Tensor) -> np.ndarray:
    array: np.ndarray = torch.view_as_real(volume_ft).numpy()
    return array


def _check_reach(volume_ft: torch.Tensor, plane: torch.Tensor) -> None:
    h = volume_ft.shape[-1] - 2
    if tuple(volume_ft.shape) != (2 * h + 3, 2 * h + 3, h + 2):
        raise ValueError(f"expected a prepared volume, found shape {tuple(volume_ft.shape)}")
    reach = float(plane.square().sum(0).max()) ** 0.5 if plane.numel() else 0.0
    if reach > h + 1e-3:
        raise ValueError(f"a point {reach:.1f} samples from the origin is beyond a volume of {h} samples")


def _places(volume_ft: torch.Tensor, matrices: torch.Tensor, plane: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractional array positions (m, 3, p) in x, y, z of the points, and -1 (m, p) where a point was mirrored."""
    h = volume_ft.shape[-1] - 2
    k = matrices[:, :, :2].to(plane.dtype) @ plane
    flipped = torch.where(k[:, 0] < 0, -1.0, 1.0).to(k.dtype)
    k *= flipped[:, None]
    k[:, 1:] += h + 1
    return k, flipped


def _slice_elsewhere(volume_ft: torch.Tensor, matrices: torch.Tensor, plane: torch.Tensor) -> torch.Tensor:
    position, flipped = _places(volume_ft, matrices, plane.float())
    channels = torch.view_as_real(volume_ft).permute(3, 0, 1, 2)[None]
    size = torch.tensor(volume_ft.shape[::-1], device=volume_ft.device, dtype=position.dtype)
    grid = (position * (2.0 / (size - 1.0))[:, None] - 1.0).transpose(1, 2)[None, :, :, None]
    real, imag = grid_sample(channels, grid, mode="bilinear", align_corners=True)[0, ..., 0]
    return torch.complex(real, imag * flipped)


def _insert_elsewhere(
    numerator: torch.Tensor,
    denominator: torch.Tensor,
    values: torch.Tensor,
    weights: torch.Tensor,
    matrices: torch.Tensor,
    plane: torch.Tensor,
) -> None:
    position, flipped = _places(numerator, matrices, plane.float())
    low = torch.floor(position)
    x1, y1, z1 = (position - low).unbind(1)
    x, y, z = low.to(torch.int64).unbind(1)
    size_y, size_x = numerator.shape[1], numerator.shape[2]
    index = (z * size_y + y) * size_x + x
    table, counts = torch.view_as_real(numerator).view(-1, 2), denominator.view(-1)
    value = torch.stack([values.real, values.imag * flipped], -1)
    for dz, wz in ((0, 1 - z1), (1, z1)):
        for dy, wy in ((0, 1 - y1), (1, y1)):
            for dx, wx in ((0, 1 - x1), (1, x1)):
                at, w = (index + (dz * size_y + dy) * size_x + dx).flatten(), wz * wy * wx
                table.index_add_(0, at, (value * w[..., None]).reshape(-1, 2))
                counts.index_add_(0, at, (weights * w).flatten())
