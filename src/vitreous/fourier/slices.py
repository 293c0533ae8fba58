"""Central slices of a volume (projection in Fourier space) and the adjoint, trilinear on an oversampled grid.

A prepared volume is the half space kx >= 0 of the centred transform of the padded volume, cut at the Nyquist
radius with a margin of one sample: complex ``(2 h + 3, 2 h + 3, h + 2)`` in [kz, ky, kx] with
``h = padding * (n // 2)`` and frequency zero at ``[h + 1, h + 1, 0]``. Only this module looks inside.
"""

import torch
from torch.nn.functional import grid_sample

__all__ = ["central_slices", "empty_volume_ft", "insert_slices", "prepare_volume"]

_BYTES_PER_POINT = 160  # of temporaries, for every interpolated point
_CHUNK_BYTES = {"cpu": 4 * 2**20, "cuda": 256 * 2**20}  # on a CPU a chunk that stays in the cache is fastest


def prepare_volume(volume: torch.Tensor, padding: int = 2) -> torch.Tensor:
    """Oversampled Fourier transform of a real volume (n, n, n), corrected for trilinear interpolation.

    Interpolating linearly between Fourier samples multiplies real space by sinc^2 along every axis; the volume is
    divided by it beforehand. Memory: about 4 (padding n)^3 bytes in single precision, twice that while it works.
    """
    n = volume.shape[-1]
    if tuple(volume.shape) != (n, n, n):
        raise ValueError(f"expected a cubic volume (n, n, n), found {tuple(volume.shape)}")
    padded_n, h = padding * n, padding * (n // 2)
    position = torch.arange(n, device=volume.device, dtype=volume.dtype) - n // 2
    gridding = torch.sinc(position / padded_n) ** 2
    corrected = volume / (gridding[:, None, None] * gridding[:, None] * gridding)

    padded = torch.zeros(padded_n, padded_n, padded_n, device=volume.device, dtype=volume.dtype)
    box = (position + padded_n).to(torch.int64) % padded_n  # the centre goes to index 0
    padded[box[:, None, None], box[:, None], box] = corrected
    ft = torch.fft.rfftn(padded)
    keep = torch.arange(-h, h + 1, device=volume.device) % padded_n
    prepared = empty_volume_ft(n, padding, device=ft.device, dtype=ft.dtype)
    prepared[1:-1, 1:-1, :-1] = ft[keep[:, None, None], keep[:, None], torch.arange(h + 1, device=ft.device)]
    return prepared


def empty_volume_ft(
    n: int, padding: int = 2, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.complex64
) -> torch.Tensor:
    """A prepared volume of zeros for a box of n, to accumulate :func:`insert_slices` into."""
    h = padding * (n // 2)
    return torch.zeros(2 * h + 3, 2 * h + 3, h + 2, device=device, dtype=dtype)


def central_slices(volume_ft: torch.Tensor, matrices: torch.Tensor, n: int) -> torch.Tensor:
    """Slices at ``k_vol = G (kx, ky, 0)``: matrices (b, 3, 3) -> centred Fourier images (b, n, n // 2 + 1).

    ``centred_irfft2`` of a slice is the projection, the sum of the volume along z of the image frame. ``n`` is the
    box of the volume that was prepared. Components beyond the Nyquist radius n // 2 are zero.
    """
    inside, frequencies = _disc_points(n, _padding(volume_ft, n), volume_ft)
    channels = torch.view_as_real(volume_ft).permute(3, 0, 1, 2)[None]
    size = torch.tensor(volume_ft.shape[::-1], device=volume_ft.device, dtype=frequencies.dtype)
    out = torch.zeros(len(matrices), n * (n // 2 + 1), dtype=volume_ft.dtype, device=volume_ft.device)
    for rows in _chunks(len(matrices), len(inside), volume_ft.device):
        position, flipped = _positions(volume_ft, matrices[rows], frequencies)
        grid = (position * (2.0 / (size - 1.0))[:, None] - 1.0).transpose(1, 2)[None, :, :, None]
        real, imag = grid_sample(channels, grid, mode="bilinear", align_corners=True)[0, ..., 0]
        out[rows, inside] = torch.complex(real, imag * flipped)
    return out.reshape(len(matrices), n, n // 2 + 1)


def insert_slices(volume_ft: torch.Tensor, slices: torch.Tensor, matrices: torch.Tensor) -> None:
    """Adjoint of :func:`central_slices`: add slices (b, n, n // 2 + 1) at matrices (b, 3, 3) into ``volume_ft``.

    In place. Adjoint for the inner product ``Re sum conj(x) y`` over the stored half plane and half space:
    ``<slices(V), y> = <V, insert(y)>``. Multiply slices by ``rfft2_multiplicity`` / 2 first where every
    component of the full plane shall count once.
    """
    n = slices.shape[-2]
    inside, frequencies = _disc_points(n, _padding(volume_ft, n), volume_ft)
    table = torch.view_as_real(volume_ft).view(-1, 2)
    flat = torch.view_as_real(slices.to(volume_ft.dtype)).reshape(len(slices), -1, 2)
    for rows in _chunks(len(matrices), len(inside), volume_ft.device):
        position, flipped = _positions(volume_ft, matrices[rows], frequencies)
        index, weights = _corners(volume_ft, position)
        value = flat[rows][:, inside].clone()
        value[..., 1] *= flipped
        for offset, weight in zip(_corner_offsets(volume_ft), weights, strict=True):
            table.index_add_(0, (index + offset).flatten(), (value * weight[..., None]).reshape(-1, 2))


def _padding(volume_ft: torch.Tensor, n: int) -> int:
    h = volume_ft.shape[-1] - 2
    padding = h // max(n // 2, 1)
    if padding < 1 or padding * (n // 2) != h or tuple(volume_ft.shape) != (2 * h + 3, 2 * h + 3, h + 2):
        raise ValueError(f"a volume transform of shape {tuple(volume_ft.shape)} does not belong to a box of {n}")
    return padding


def _disc_points(n: int, padding: int, volume_ft: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat half-plane indices within the Nyquist radius (p,), and their frequencies (2, p) in padded samples."""
    device = volume_ft.device
    kx = torch.arange(n // 2 + 1, device=device)
    ky = torch.fft.fftfreq(n, 1.0 / n, device=device).round().to(torch.int64)
    inside = torch.nonzero((ky[:, None] ** 2 + kx**2 <= (n // 2) ** 2).flatten())[:, 0]
    frequencies = torch.stack([kx[inside % len(kx)], ky[inside // len(kx)]]) * padding
    return inside, frequencies.to(volume_ft.real.dtype)


def _positions(
    volume_ft: torch.Tensor, matrices: torch.Tensor, frequencies: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fractional array positions (b, 3, p) in x, y, z of the points, and -1 (b, p) where a point was mirrored."""
    h = volume_ft.shape[-1] - 2
    k = matrices[:, :, :2].to(frequencies.dtype) @ frequencies
    flipped = torch.where(k[:, 0] < 0, -1.0, 1.0).to(k.dtype)
    k *= flipped[:, None]
    k.clamp_(-h, h)  # only rounding can exceed the sphere
    k[:, 1:] += h + 1
    return k, flipped


def _corners(volume_ft: torch.Tensor, position: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Flat index (b, p) of the lowest corner around positions (b, 3, p), and the eight trilinear weights."""
    low = torch.floor(position)
    x1, y1, z1 = (position - low).unbind(1)
    x0, y0, z0 = 1.0 - x1, 1.0 - y1, 1.0 - z1
    weights = [wz * wy * wx for wz in (z0, z1) for wy in (y0, y1) for wx in (x0, x1)]
    x, y, z = low.to(torch.int64).unbind(1)
    return (z * volume_ft.shape[1] + y) * volume_ft.shape[2] + x, weights


def _corner_offsets(volume_ft: torch.Tensor) -> list[int]:
    """Flat offsets of the eight corners, in the order of the weights."""
    size_y, size_x = volume_ft.shape[1], volume_ft.shape[2]
    return [(dz * size_y + dy) * size_x + dx for dz in (0, 1) for dy in (0, 1) for dx in (0, 1)]


def _chunks(count: int, points: int, device: torch.device) -> list[slice]:
    step = max(1, _CHUNK_BYTES.get(device.type, 64 * 2**20) // (_BYTES_PER_POINT * max(points, 1)))
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]
