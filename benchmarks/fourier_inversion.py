"""Direct Fourier inversion, the textbook way to a map from images with known poses, as a peer in measurements.

The transform of every image is laid into an oversampled grid as a central slice with trilinear weights; every grid
point becomes the weighted mean of what came near it (that is the compensation of the density of samples), and 0 where
nothing came; the inverse transform is divided by that of the interpolation kernel. Penczek (2010), Methods in
Enzymology 482, chapter 1.
"""

import numpy as np
import torch

from vitreous.fourier import centred_rfft2, empty_volume_ft, insert_slices, rfft2_multiplicity

__all__ = ["fourier_inversion"]

_LEAST_WEIGHT = 1e-3  # of one sample: less is rounding


def fourier_inversion(images: np.ndarray, rotations: np.ndarray, *, padding: int = 2) -> np.ndarray:
    """A map (n, n, n) [z, y, x] float32 from centred images (m, n, n), n even, and poses (m, 3, 3) G.

    Its values are those of the volume whose sums along the viewing directions are the images.
    """
    n = images.shape[1]
    slices = centred_rfft2(torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)))
    matrices = torch.from_numpy(np.ascontiguousarray(rotations, dtype=np.float32))
    # The half plane kx = 0 holds every component of the full plane and its conjugate: each counts half.
    once = (rfft2_multiplicity(n).to(torch.float32) / 2).expand(slices.shape)
    sums, weights = (_inserted(values, matrices, padding) for values in (slices * once, once.to(slices.dtype)))
    near = weights.real > _LEAST_WEIGHT
    mean = torch.where(near, sums / torch.where(near, weights.real, 1.0), torch.zeros_like(sums))
    return _back(mean, n, padding).numpy()


def _inserted(slices: torch.Tensor, matrices: torch.Tensor, padding: int) -> torch.Tensor:
    """The half space kx >= 0 of the sum of all slices.

    On its border kx = 0 lie points together with their conjugates, of which a slice has only one.
    """
    n = slices.shape[1]
    volume_ft = empty_volume_ft(n, padding, dtype=slices.dtype)
    insert_slices(volume_ft, slices.contiguous(), matrices)
    border = volume_ft[..., 0].clone()
    volume_ft[..., 0] = border + border.flip(0, 1).conj()
    return volume_ft


def _back(volume_ft: torch.Tensor, n: int, padding: int) -> torch.Tensor:
    """Inverse transform, cut to the box, less the sinc^2 that trilinear interpolation puts on every axis."""
    h, padded = padding * (n // 2), padding * n
    full = torch.zeros(padded, padded, padded // 2 + 1, dtype=volume_ft.dtype)
    keep = torch.arange(-h, h + 1) % padded
    full[keep[:, None, None], keep[:, None], torch.arange(h + 1)] = volume_ft[1:-1, 1:-1, :-1]
    volume = torch.fft.fftshift(torch.fft.irfftn(full, s=(padded,) * 3))
    inner = slice(padded // 2 - n // 2, padded // 2 - n // 2 + n)
    kernel = torch.sinc((torch.arange(n) - n // 2) / padded) ** 2
    return volume[inner, inner, inner] / (kernel[:, None, None] * kernel[:, None] * kernel)
