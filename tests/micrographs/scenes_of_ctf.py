"""Ice under a CTF: noise whose spectrum has rings, and camera noise without."""

import numpy as np
import torch

from vitreous.optics import CTFParameters, ctf_at

__all__ = ["ctf_scene", "parameters"]


def parameters(u_A: float, v_A: float, angle_deg: float, shift_deg: float = 0.0) -> CTFParameters:
    """The CTF of one image at 300 kV."""
    values = (u_A, v_A, angle_deg, 300.0, 2.7, 0.1, shift_deg, 60.0)
    names = ("defocus_u_A", "defocus_v_A", "defocus_angle_deg", "voltage_kV", "cs_mm", "amplitude_contrast",
             "phase_shift_deg", "b_factor_A2")  # fmt: skip
    return CTFParameters(**{name: np.array([value]) for name, value in zip(names, values, strict=True)})


def ctf_scene(
    shape: tuple[int, int],
    pixel_A: float,
    ctf: CTFParameters | None,
    *,
    rings: float = 1.0,
    finest_A: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """(rows, columns) float32: ice of power ``1 / (1 + (60 k)^2) + 0.1`` under the CTF, and white noise.

    rings: variance of the ice before the CTF, in that of the white noise. finest_A: the ice has no finer detail.
    Without a CTF there is no ice.
    """
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape)
    if ctf is not None:
        ky, kx = np.meshgrid(np.fft.fftfreq(shape[0], pixel_A), np.fft.rfftfreq(shape[1], pixel_A), indexing="ij")
        power = 1.0 / (1.0 + 3600.0 * (kx**2 + ky**2)) + 0.1
        power = power / power.mean() * (np.hypot(kx, ky) * finest_A <= 1.0)
        transfer = ctf_at(ctf, torch.from_numpy(kx), torch.from_numpy(ky))[0].numpy()
        ice = np.fft.rfft2(rng.normal(size=shape)) * np.sqrt(power) * transfer
        image += np.sqrt(rings) * np.fft.irfft2(ice, s=shape)
    return (100.0 + 5.0 * image).astype(np.float32)
