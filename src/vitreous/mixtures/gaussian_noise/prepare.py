"""Class averages made ready for the Gaussian noise model: checked, normalised, centred, and on coarser grids."""

import numpy as np
import torch

from vitreous.conventions import centre_index
from vitreous.fourier import resize_images
from vitreous.mixtures.averages import checked_stack
from vitreous.mixtures.gaussian_noise.global_poses import centred_images
from vitreous.mixtures.gaussian_noise.model import GaussianNoisePrior, NoisyImages
from vitreous.quality import border_of, bright_part, centres_of_mass

__all__ = ["centred", "checked_noisy_averages", "default_noise_prior", "reduced"]


def checked_noisy_averages(images: np.ndarray, pixel_size_A: float, ctf: np.ndarray | None = None) -> NoisyImages:
    """Averages (n, L, L) of any sign, less their borders' mean and with standard deviation 1 over all.

    Raises ValueError, naming the average (from 1), for NaN and for a constant one; for different boxes, a single view,
    and a CTF of another shape or that is not finite.
    """
    images = checked_stack(images, pixel_size_A)
    for number, image in enumerate(images, start=1):
        if not np.isfinite(image).all():
            bad = np.count_nonzero(~np.isfinite(image))
            raise ValueError(f"average {number} holds {bad} value(s) that are NaN or infinite; leave it out.")
        if not np.ptp(image) > 0:
            raise ValueError(f"average {number} has the value {image.flat[0]:g} everywhere; leave it out.")
    if ctf is not None and not np.isfinite(ctf).all():
        raise ValueError("ctf: holds values that are NaN or infinite.")
    border = images[:, border_of(images.shape[1])]
    images = images - border.mean(axis=1)[:, None, None]
    return NoisyImages(images=images / images.std(), pixel_size_A=pixel_size_A, ctf=ctf)


def centred(data: NoisyImages) -> tuple[NoisyImages, np.ndarray]:
    """(data with the centres of mass of the bright parts moved to the centre, these centres (n, 2) in Angstrom)."""
    centres = centres_of_mass(bright_part(data.images).astype(np.float64), data.pixel_size_A)
    moved = centred_images(data, centres)
    return NoisyImages(images=moved, pixel_size_A=data.pixel_size_A, ctf=data.ctf), centres


def reduced(data: NoisyImages, box_px: int) -> NoisyImages:
    """The data on ``box_px`` pixels over the same field, by cutting off high frequencies; the noise stays white."""
    old, new = data.box_px, min(box_px, data.box_px)
    ctf = data.ctf
    if ctf is not None:
        rows = np.rint(np.fft.fftfreq(new) * new).astype(int) % old
        ctf = ctf[:, rows, : new // 2 + 1]
    images = resize_images(torch.from_numpy(data.images), new).numpy()
    return NoisyImages(images=images, pixel_size_A=data.pixel_size_A * old / new, ctf=ctf)


def default_noise_prior(data: NoisyImages, offset_sd_A: float) -> GaussianNoisePrior:
    """Means as spread out as the bright parts of the images; scales and backgrounds of the order of the images' own."""
    bright = bright_part(data.images).sum(axis=0, dtype=np.float64)
    square = ((np.arange(data.box_px) - centre_index(data.box_px)) * data.pixel_size_A) ** 2
    mean_square = (bright.sum(axis=0) @ square + bright.sum(axis=1) @ square) / (2.0 * bright.sum())
    spread = float(data.images.std())
    return GaussianNoisePrior(
        mean_precision_per_A2=1.0 / max(float(mean_square), data.pixel_size_A**2),
        scale_sd=10.0 * spread * (data.box_px * data.pixel_size_A) ** 2,
        background_sd=spread,
        noise_rate=0.01 * spread**2,
        offset_sd_A=offset_sd_A,
    )
