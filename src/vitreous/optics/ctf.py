"""The contrast transfer function, with RELION's sign and constants.

    CTF(k) = sin( pi lambda dz(theta) k^2 - (pi / 2) Cs lambda^3 k^4 + phi + asin(w) ) exp(-B k^2 / 4)

with dz(theta) = (U + V) / 2 + (U - V) / 2 cos 2(theta - angle), positive for underfocus, theta measured from +x
towards +y. CTF(0) = +w for phi = 0 and the first lobe is positive: particles are white.
"""

from dataclasses import replace

import numpy as np
import torch

from vitreous.fourier import frequency_xy_rfft2
from vitreous.optics.parameters import CTFParameters

__all__ = ["ctf_1d", "ctf_2d", "ctf_at", "ctf_weight", "electron_wavelength_A"]

_MM_TO_A = 1e7


def electron_wavelength_A(voltage_kV: np.ndarray | float) -> np.ndarray:
    """Relativistic electron wavelength in Angstrom (0.0197 at 300 kV), RELION's constants."""
    volts = np.asarray(voltage_kV, dtype=np.float64) * 1e3
    return 12.2643247 / np.sqrt(volts * (1.0 + 0.978466e-6 * volts))


def ctf_at(params: CTFParameters, kx_per_A: torch.Tensor, ky_per_A: torch.Tensor) -> torch.Tensor:
    """CTF of b particles at the same frequency points: kx, ky in 1/Angstrom, broadcast to shape S -> (b, *S).

    Device and dtype are those of ``kx_per_A``. Any layout of points will do: Cartesian, polar, a list. Where the phases
    of the images have been flipped it is the absolute value.
    """
    quadratic = _defocus_form(params)
    kx2, ky2, kxy = kx_per_A * kx_per_A, ky_per_A * ky_per_A, 2.0 * kx_per_A * ky_per_A
    k2 = kx2 + ky2
    xx, yy, xy, quartic, offset, envelope = (
        torch.as_tensor(c, dtype=k2.dtype, device=k2.device).reshape(-1, *([1] * k2.ndim))
        for c in (*quadratic, *_other_terms(params))
    )
    ctf = torch.sin(xx * kx2 + yy * ky2 + xy * kxy - quartic * (k2 * k2) + offset)
    if np.any(params.b_factor_A2):
        ctf *= torch.exp(-envelope * k2)
    if np.any(params.phase_flipped):
        flipped = torch.as_tensor(params.phase_flipped > 0, device=k2.device).reshape(-1, *([1] * k2.ndim))
        ctf = torch.where(flipped, ctf.abs(), ctf)
    return ctf


def ctf_weight(params: CTFParameters, ctf: torch.Tensor) -> torch.Tensor:
    """What b images are multiplied by in a matched filter: their CTF (b, ...), or 1 where that has been done before.

    With data X = C S + N of noise power sigma^2 the likelihood needs ``C X / sigma^2`` and ``C^2 / sigma^2``. Images
    that were premultiplied are C X already; their noise power is C^2 sigma^2, and the same two numbers come out.
    """
    if not np.any(params.premultiplied):
        return ctf
    done = torch.as_tensor(params.premultiplied > 0, device=ctf.device).reshape(-1, *([1] * (ctf.ndim - 1)))
    return torch.where(done, 1.0, ctf)


def ctf_2d(
    params: CTFParameters,
    n: int,
    pixel_size_A: float,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """CTF of b particles for a box of n pixels in the rfft layout: (b, n, n // 2 + 1), astigmatism included."""
    kx, ky = frequency_xy_rfft2(n, device=device, dtype=dtype)
    return ctf_at(params, kx / pixel_size_A, ky / pixel_size_A)


def ctf_1d(params: CTFParameters, k_per_A: torch.Tensor) -> torch.Tensor:
    """CTF of b particles at the mean defocus (astigmatism ignored): k (m,) in 1/Angstrom -> (b, m)."""
    mean = 0.5 * (params.defocus_u_A + params.defocus_v_A)
    round_params = replace(params, defocus_u_A=mean, defocus_v_A=mean)
    return ctf_at(round_params, k_per_A, torch.zeros_like(k_per_A))


def _defocus_form(params: CTFParameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients (xx, yy, xy) of pi lambda dz(theta) k^2 = xx kx^2 + yy ky^2 + xy (2 kx ky)."""
    scale = np.pi * electron_wavelength_A(params.voltage_kV)
    mean = 0.5 * (params.defocus_u_A + params.defocus_v_A)
    difference = 0.5 * (params.defocus_u_A - params.defocus_v_A)
    twice = 2.0 * np.deg2rad(params.defocus_angle_deg)
    cos, sin = difference * np.cos(twice), difference * np.sin(twice)
    return scale * (mean + cos), scale * (mean - cos), scale * sin


def _other_terms(params: CTFParameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(coefficient of k^4, constant phase, B / 4)."""
    w = params.amplitude_contrast
    if np.any(np.abs(w) > 1.0):
        raise ValueError(f"amplitude contrast is a fraction between 0 and 1, found {w[np.abs(w) > 1.0][0]:g}")
    quartic = 0.5 * np.pi * params.cs_mm * _MM_TO_A * electron_wavelength_A(params.voltage_kV) ** 3
    return quartic, np.deg2rad(params.phase_shift_deg) + np.arcsin(w), params.b_factor_A2 / 4.0
