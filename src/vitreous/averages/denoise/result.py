"""What denoising returns: the model of the images that the filter is made from, and the images."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.words import brief

__all__ = ["DenoiseModel", "DenoiseResult"]


@dataclass(frozen=True, kw_only=True)
class DenoiseModel:
    """Mean, covariance and noise of the images, in normalised grey values. Arrays are NumPy, on the CPU.

    Pictures have the working box of side w, which is that of the images unless that is too fine to be computed.
    """

    __repr__ = brief

    pixel_size_A: float  # of the working box
    particle_diameter_A: float
    cutoff_A: float  # finest detail that the filter lets through
    mean_image: np.ndarray  # (w, w)
    eigenimages: np.ndarray  # (e, w, w), of the largest variances; real part for angular order above 0
    orders: np.ndarray  # (C,) angular order q of every component, all that rise above the noise
    variances: np.ndarray  # (C,) of a component; those of q > 0 come in pairs (q and -q)
    noise_power: np.ndarray  # (w // 2 + 1,) variance per pixel by frequency, as used
    background_power: np.ndarray  # (w // 2 + 1,) as measured beside the particles
    excess_frequency: np.ndarray  # (b,) in cycles per working pixel, end of the band
    excess: np.ndarray  # (b,) power in the particle's disc over that of the noise, less 1
    defocus_groups: int  # 0 without CTF
    phase_error_rad: float  # largest, by which the CTF of a group differs from that of a member
    bad: np.ndarray  # (n,) bool, images that cannot be used
    found_signal: bool = True  # whether images that the model has not seen are likelier with it than as noise
    messages: list[str] = field(default_factory=list)  # plain sentences for the user


@dataclass(frozen=True, kw_only=True)
class DenoiseResult:
    """n denoised images of the box, pixel size and grey scale of the input; bad ones are zero and weigh 0."""

    __repr__ = brief

    images: np.ndarray  # (n, L, L) float32, zero outside the disc
    weight: np.ndarray  # (n,) float32, 1 or 0
    model: DenoiseModel
