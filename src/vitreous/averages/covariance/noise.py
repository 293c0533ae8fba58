"""The noise of particle images: its spectrum from the background, and the plane that normalisation has taken away.

Whoever normalises a particle image subtracts a constant or a plane that was fitted to the background, and takes away
signal and noise that nobody can put back. So a plane is taken for unknown in every image: the weight of the pixels is

    W = P^-1 - P^-1 B (B^T P^-1 B)^-1 B^T P^-1,      B = (1, x, y),

for noise of power P. W B = 0, so that all images with the same pixels but for a plane have the same coefficients.
"""

import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, rfft2_multiplicity, shell_index_rfft2, shell_sums
from vitreous.optics import radial_to_plane

__all__ = ["background_response", "smooth_spectrum", "spectrum_error", "unknown_plane"]

_HIGHEST_DEGREE = 4  # of the polynomial that a smooth spectrum is
_BAD_FIT = 2.0  # chi^2 per degree of freedom


def unknown_plane(power: torch.Tensor, box_px: int) -> torch.Tensor:
    """Images d_j (3, L, L), float32, with ``W y = P^-1 y - sum_j d_j <d_j, y>`` (module docstring).

    power: of the noise on the rings (L // 2 + 1,).
    """
    planes = _planes(box_px)
    gain = radial_to_plane(1 / power.double(), box_px)
    weighted = centred_irfft2(centred_rfft2(planes) * gain, box_px)
    gram = torch.einsum("jyx,kyx->jk", planes, weighted)
    root = torch.linalg.inv(torch.linalg.cholesky(gram))
    return torch.einsum("jk,kyx->jyx", root, weighted).float()


def background_response(box_px: int, mask: torch.Tensor, outside: torch.Tensor, *, ramp: bool) -> torch.Tensor:
    """What :func:`vitreous.optics.add_noise_images` measures, (L // 2 + 1,), for white noise of variance 1.

    mask: (L, L) that the background is measured under; outside: (L, L) bool, pixels that a plane (``ramp``) was
    fitted to and subtracted before. Both subtractions take away noise at low frequencies: with the background a
    narrow margin, a quarter of the power in the first ring.
    """
    mask = mask.double()
    planes = _planes(box_px).reshape(3, -1)
    under = (mask / mask.sum()).reshape(1, -1)  # <under, x>: the mean that is subtracted last
    if ramp:
        fit = torch.linalg.pinv((planes * outside.reshape(1, -1)).T)  # (3, L^2): coefficients of the plane
        shapes = torch.cat([planes, torch.ones_like(under)])
        functionals = torch.cat([fit, under - under @ planes.T @ fit])
    else:
        shapes, functionals = torch.ones_like(under), under
    # y = M (x - sum_j shape_j <functional_j, x>): the power of three terms.
    a, b = (centred_rfft2(v.reshape(-1, box_px, box_px) * mask) for v in (shapes, functionals))
    gram = (functionals @ functionals.T).to(a.dtype)
    lost = torch.einsum("jyx,jyx->yx", a, b.conj()).real
    added = torch.einsum("jyx,jk,kyx->yx", a, gram, a.conj()).real
    area = mask.square().sum()
    return _ring_means((area - 2 * lost + added) / area, box_px)


def spectrum_error(box_px: int, mask: torch.Tensor, images: float) -> torch.Tensor:
    """Relative standard error (L // 2 + 1,) of the spectrum of so many images under a mask: counting of modes."""
    modes = shell_sums(rfft2_multiplicity(box_px).double(), shell_index_rfft2(box_px), box_px // 2 + 1)
    square = mask.double().square()
    seen = square.sum() ** 2 / square.square().sum() / box_px**2
    return (2 / (images * modes * seen).clamp(min=1)).sqrt()


def smooth_spectrum(power: torch.Tensor, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The simplest spectrum (L // 2 + 1,) that agrees with measured rings, and its relative error.

    power, error: measured power and its relative standard error. log P as a polynomial of the lowest degree (0, which
    is white noise, to 4) whose chi^2 is what the errors let expect. Where none is, as under Thon rings: every ring
    averaged with its neighbours. The lowest ring, where normalisation has left nothing, counts for little.
    """
    rings = power.double().clone()
    rings[0] = rings[1]
    if not bool((rings > 0).all()):
        raise ValueError("the background has no power at some frequencies: are the images filtered or made up?")
    error = error.double().clone()
    error[0] = error[1] = 1.0
    x = torch.linspace(-1, 1, len(rings), dtype=torch.float64)
    for degree in range(_HIGHEST_DEGREE + 1):
        weighted = torch.stack([x**d for d in range(degree + 1)], 1) / error[:, None]
        inverse = torch.linalg.inv(weighted.T @ weighted)
        coefficients = inverse @ weighted.T @ (rings.log() / error)
        residual = rings.log() / error - weighted @ coefficients
        if float(residual.square().sum()) < _BAD_FIT * (len(rings) - degree - 3):
            spread = torch.einsum("rk,kl,rl->r", weighted, inverse, weighted).sqrt() * error
            return (weighted @ coefficients * error).exp().float(), spread
    padded = torch.cat([rings[:1], rings, rings[-1:]])
    return ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).float(), error


def _planes(box_px: int) -> torch.Tensor:
    """1, x, y (3, L, L), float64, of order one."""
    axis = (torch.arange(box_px, dtype=torch.float64) - box_px // 2) / box_px
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y])


def _ring_means(values: torch.Tensor, box_px: int) -> torch.Tensor:
    shell, weight = shell_index_rfft2(box_px), rfft2_multiplicity(box_px).double()
    rings = box_px // 2 + 1
    return shell_sums(values * weight, shell, rings) / shell_sums(weight, shell, rings)
