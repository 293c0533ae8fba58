"""Centred real transforms in the rfft layout, their frequency grids, crop, pad and shift.

Every Fourier image here has shape ``(..., n, n // 2 + 1)``: rows are ky in ``fftfreq`` order, columns are kx from 0
to Nyquist. Phases are measured from pixel ``(n // 2, n // 2)``, so an even real image has a real transform.
The forward transform is not normalised, the backward transform divides by n^2 (the default of PyTorch).
"""

import torch

__all__ = [
    "centred_irfft2",
    "centred_rfft2",
    "fourier_crop",
    "fourier_pad",
    "frequency_grid_rfft2",
    "frequency_xy_rfft2",
    "resize_images",
    "rfft2_multiplicity",
    "shell_index_rfft2",
    "shell_sums",
    "shift_phase",
]

_PLANE = (-2, -1)


def centred_rfft2(images: torch.Tensor) -> torch.Tensor:
    """Fourier transform of real square images (..., n, n) -> (..., n, n // 2 + 1), origin at pixel n // 2."""
    return torch.fft.rfft2(torch.fft.ifftshift(images, dim=_PLANE))


def centred_irfft2(ft: torch.Tensor, n: int) -> torch.Tensor:
    """Inverse of :func:`centred_rfft2`: (..., n, n // 2 + 1) -> real images (..., n, n)."""
    _check_half_plane(ft, n)
    return torch.fft.fftshift(torch.fft.irfft2(ft, s=(n, n)), dim=_PLANE)


def frequency_xy_rfft2(
    n: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """(kx, ky) in cycles per pixel, shapes (1, n // 2 + 1) and (n, 1). For even n the Nyquist row is ky = -0.5."""
    kx = torch.fft.rfftfreq(n, device=device, dtype=dtype)[None, :]
    ky = torch.fft.fftfreq(n, device=device, dtype=dtype)[:, None]
    return kx, ky


def frequency_grid_rfft2(
    n: int, pixel_size_A: float, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """|k| in 1/Angstrom, shape (n, n // 2 + 1)."""
    kx, ky = frequency_xy_rfft2(n, device=device, dtype=dtype)
    return torch.hypot(kx, ky) / pixel_size_A


def shell_index_rfft2(n: int, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """Radius in Fourier pixels rounded to the nearest integer, int64 (n, n // 2 + 1); corners exceed n // 2."""
    kx, ky = frequency_xy_rfft2(n, device=device, dtype=torch.float64)
    return torch.floor(torch.hypot(kx, ky) * n + 0.5).to(torch.int64)


def rfft2_multiplicity(
    n: int, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """How many components of the full plane each component of the half plane stands for: 1 or 2, (n, n // 2 + 1).

    Columns kx = 0 and, for even n, kx = n / 2 hold both members of their Friedel pairs and count once; so
    ``sum |x|^2 = sum(multiplicity * |X|^2) / n^2`` (Parseval).
    """
    columns = torch.full((n // 2 + 1,), 2.0, device=device, dtype=dtype)
    columns[0] = 1.0
    if n % 2 == 0:
        columns[-1] = 1.0
    return columns.expand(n, -1).contiguous()


def shell_sums(values: torch.Tensor, shell: torch.Tensor, n_shells: int) -> torch.Tensor:
    """Sum real ``values`` (..., *S) over shells: ``shell`` int64 (*S) -> (..., n_shells); shells beyond are dropped."""
    batch = values.shape[: values.ndim - shell.ndim]
    flat = values.reshape(*batch, shell.numel())
    index = shell.flatten().clamp(max=n_shells)
    sums = torch.zeros(*batch, n_shells + 1, device=values.device, dtype=values.dtype)
    return sums.index_add_(-1, index, flat)[..., :n_shells]


def fourier_crop(ft: torch.Tensor, n_from: int, n_to: int) -> torch.Tensor:
    """Keep the frequencies of a box of ``n_to <= n_from`` pixels: (..., n_from, .) -> (..., n_to, n_to // 2 + 1).

    The result is multiplied by ``(n_to / n_from)^2``, so that real-space values and the centre stay what they were.
    When n_to is even, +Nyquist and -Nyquist fall on one row (one column) and are added, as sampling would alias them;
    :func:`fourier_pad` followed by this is the identity.
    """
    _check_half_plane(ft, n_from)
    if not 1 <= n_to <= n_from:
        raise ValueError(f"Fourier crop from a box of {n_from} pixels to {n_to}: the target must be 1..{n_from}.")
    if n_to == n_from:
        return ft
    half = n_to // 2
    scale = (n_to / n_from) ** 2
    below = n_to - half  # rows of ky = 0 .. ceil(n_to / 2) - 1
    out = torch.cat([ft[..., :below, : half + 1], ft[..., n_from - half :, : half + 1]], dim=-2) * scale
    if n_to % 2 == 0:
        out[..., half, :] += ft[..., half, : half + 1] * scale
        out[..., half] = out[..., half] + _mirror_rows(out[..., half]).conj()
    return out


def fourier_pad(ft: torch.Tensor, n_from: int, n_to: int) -> torch.Tensor:
    """Zero-pad to the frequencies of a box of ``n_to >= n_from`` pixels (band-limited interpolation).

    (..., n_from, n_from // 2 + 1) -> (..., n_to, n_to // 2 + 1), multiplied by ``(n_to / n_from)^2``: real-space
    values and the centre stay what they were. When n_from is even, its Nyquist row and column are split evenly
    between the positive and the negative frequency.
    """
    _check_half_plane(ft, n_from)
    if n_to < n_from:
        raise ValueError(f"Fourier pad from a box of {n_from} pixels to {n_to}: the target must not be smaller.")
    if n_to == n_from:
        return ft
    half = n_from // 2
    source = ft * (n_to / n_from) ** 2
    if n_from % 2 == 0:
        source[..., half, :] *= 0.5
        source[..., half] *= 0.5
    below = n_from - half
    out = torch.zeros(*ft.shape[:-2], n_to, n_to // 2 + 1, dtype=ft.dtype, device=ft.device)
    out[..., :below, : half + 1] = source[..., :below, :]
    out[..., n_to - half :, : half + 1] = source[..., below:, :]
    if n_from % 2 == 0:
        out[..., half, : half + 1] = source[..., half, :]
    return out


def resize_images(images: torch.Tensor, n_to: int) -> torch.Tensor:
    """Resample images (..., n, n) to (..., n_to, n_to) by Fourier crop or pad; the field of view stays the same."""
    n = images.shape[-1]
    change = fourier_crop if n_to <= n else fourier_pad
    return centred_irfft2(change(centred_rfft2(images), n, n_to), n_to)


def shift_phase(shift_px: torch.Tensor, n: int) -> torch.Tensor:
    """Phase ramp that moves an image by ``+shift_px`` = (x, y): (..., 2) -> complex (..., n, n // 2 + 1).

    Multiply a Fourier image by it. Exact (circular) for whole pixels; for other shifts of an even box the
    Nyquist terms keep unit modulus, so that the ramp preserves power and its conjugate undoes it.
    """
    if shift_px.shape[-1] != 2:
        raise ValueError(f"shift_px: expected (..., 2) for (x, y), found {tuple(shift_px.shape)}")
    kx, ky = frequency_xy_rfft2(n, device=shift_px.device, dtype=shift_px.dtype)
    x, y = _ramp(shift_px[..., 0, None] * kx[0]), _ramp(shift_px[..., 1, None] * ky[:, 0])
    return y[..., :, None] * x[..., None, :]


def _ramp(turns: torch.Tensor) -> torch.Tensor:
    """exp(-2 pi i turns), with whole turns removed first so that whole-pixel shifts keep full precision."""
    angle = (turns - torch.round(turns)) * (-2.0 * torch.pi)
    return torch.polar(torch.ones_like(angle), angle)


def _mirror_rows(column: torch.Tensor) -> torch.Tensor:
    """Values at -ky of a column (..., n) in fftfreq order."""
    return torch.roll(torch.flip(column, dims=(-1,)), 1, dims=-1)


def _check_half_plane(ft: torch.Tensor, n: int) -> None:
    if ft.ndim < 2 or tuple(ft.shape[-2:]) != (n, n // 2 + 1):
        raise ValueError(f"expected a half plane (..., {n}, {n // 2 + 1}) for a box of {n}, found {tuple(ft.shape)}")
