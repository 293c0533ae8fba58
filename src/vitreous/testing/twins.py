"""Slow float64 twins of the matching core: nothing but sums over pixels and over points in Fourier space.

No ring harmonics, no FFT, no tiling, no pruning. A Fourier transform is evaluated at any point by its definition, so
rotating an image is evaluating its transform at rotated points, exactly:

    X(k) = sum_p x_p exp(-2 pi i k . r_p),   r_p measured from pixel L // 2.

One (image, reference, psi, u) scores

    sum_k w(k) / sigma^2(k) [ C(k) Re( conj X(k) A(R k) exp(2 pi i (R k) . u) )  -  1/2 C(k)^2 |A(R k)|^2 ]

with R = R(psi) of :mod:`vitreous.conventions` and u = R(psi) o. ``k`` runs over points with quadrature weights, on
circles (:func:`polar_points`, what the core does) or on the square lattice (:func:`cartesian_points`, what Parseval
says).
"""

from dataclasses import dataclass

import numpy as np

from vitreous.conventions import centre_index, in_plane_matrix
from vitreous.matching import RingBasis
from vitreous.optics import CTFParameters

__all__ = [
    "Points",
    "cartesian_points",
    "fourier_at",
    "pixel_xy",
    "polar_points",
    "twin_ctf",
    "twin_posterior",
    "twin_scores",
    "twin_signal",
]


@dataclass(frozen=True, kw_only=True)
class Points:
    """m points in Fourier space: k (m, 2) in cycles per pixel, weight (m,), ring (m,) index of the nearest ring."""

    k: np.ndarray
    weight: np.ndarray
    ring: np.ndarray


def polar_points(basis: RingBasis, n_angles: int) -> Points:
    """n_angles points on every ring, ring by ring.

    A ring at radius r / window stands for an area 2 pi r / window^2, and a unit of area holds ``sum of mask^2``
    independent coefficients of a masked image whose noise power is ``variance x sum of mask^2``.
    """
    r = np.arange(1, basis.rings + 1)
    theta = 2 * np.pi * np.arange(n_angles) / n_angles
    radius = r / basis.window_px
    k = radius[:, None, None] * np.stack([np.cos(theta), np.sin(theta)], 1)[None]
    weight = 2 * np.pi * r / basis.window_px**2 * (basis.mask**2).sum() / n_angles
    return Points(k=k.reshape(-1, 2), weight=np.repeat(weight, n_angles), ring=np.repeat(r - 1, n_angles))


def cartesian_points(basis: RingBasis, oversampling: int = 1) -> Points:
    """The Fourier pixels of the box (or a lattice ``oversampling`` times finer) that the rings stand for.

    That is the annulus from half a ring inside the first ring to half a ring outside the last.
    """
    n = basis.box_px * oversampling
    axis = np.arange(-(n // 2), n - n // 2) / n
    k = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    radius = np.hypot(*k.T) * basis.window_px
    inside = (radius >= 0.5) & (radius < basis.rings + 0.5)
    ring = np.clip(np.round(radius[inside]).astype(int) - 1, 0, basis.rings - 1)
    weight = np.full(len(ring), (basis.mask**2).sum() / n**2)
    return Points(k=k[inside], weight=weight, ring=ring)


def pixel_xy(box_px: int) -> np.ndarray:
    """Coordinates x, y of all pixels from the centre, float64 (L^2, 2), in the order of ``image.ravel()``."""
    axis = np.arange(box_px) - centre_index(box_px)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float64)


def fourier_at(images: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Fourier transforms of images (n, L, L) at points k (m, 2) in cycles per pixel: complex128 (n, m)."""
    waves = np.exp(-2j * np.pi * (pixel_xy(images.shape[-1]) @ k.T))
    return images.reshape(len(images), -1).astype(np.float64) @ waves


def twin_ctf(ctf: CTFParameters | None, number: int, kx_per_A: np.ndarray, ky_per_A: np.ndarray) -> np.ndarray:
    """CTF of particle ``number`` at points, from its defocus along every direction; ones where ctf is None."""
    if ctf is None:
        return np.ones(np.broadcast(kx_per_A, ky_per_A).shape)
    p = {name: getattr(ctf, name)[number] for name in ctf.__dataclass_fields__}
    volts = 1000 * p["voltage_kV"]
    wavelength = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
    k = np.hypot(kx_per_A, ky_per_A)
    direction = np.arctan2(ky_per_A, kx_per_A) - np.deg2rad(p["defocus_angle_deg"])
    mean, half_difference = (p["defocus_u_A"] + p["defocus_v_A"]) / 2, (p["defocus_u_A"] - p["defocus_v_A"]) / 2
    defocus = mean + half_difference * np.cos(2 * direction)
    chi = np.pi * wavelength * defocus * k**2 - np.pi / 2 * 1e7 * p["cs_mm"] * wavelength**3 * k**4
    phase = chi + np.deg2rad(p["phase_shift_deg"]) + np.arcsin(p["amplitude_contrast"])
    return np.sin(phase) * np.exp(-p["b_factor_A2"] * k**2 / 4)


def twin_scores(
    images: np.ndarray,
    references: np.ndarray,
    points: Points,
    psi_rad: np.ndarray,
    shifts_px: np.ndarray,
    noise_power: np.ndarray,
    *,
    ctf: CTFParameters | None = None,
    pixel_size_A: float = 1.0,
) -> np.ndarray:
    """Log likelihood ratios of masked images (n, L, L) against masked references (K, L, L): (n, K, S, n_psi).

    psi_rad: (n_psi,) any angles; shifts_px: (S, 2) in the class frame; noise_power: (rings,) or (n, rings) sigma^2.
    """
    noise = np.broadcast_to(noise_power, (len(images), np.shape(noise_power)[-1]))[:, points.ring]
    kx, ky = points.k.T / pixel_size_A
    c = np.stack([twin_ctf(ctf, i, kx, ky) for i in range(len(images))])
    x = fourier_at(images, points.k)
    data, ctf_power = x.conj() * c * points.weight / noise, c**2 * points.weight / noise
    out = np.empty((len(images), len(references), len(shifts_px), len(psi_rad)))
    for j, psi in enumerate(psi_rad):
        turned = points.k @ in_plane_matrix(np.rad2deg(psi)).T
        a = fourier_at(references, turned)
        norm = 0.5 * ctf_power @ (np.abs(a) ** 2).T
        for s, u in enumerate(shifts_px):
            out[:, :, s, j] = (data @ (a * np.exp(2j * np.pi * turned @ u)).T).real - norm
    return out


def twin_posterior(scores: np.ndarray, log_prior: np.ndarray, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Softmax over all hypotheses: scores (n, K, S, n_psi), log_prior broadcasts -> (weights, log evidence (n,))."""
    log = scores + log_prior
    flat = log.reshape(len(log), -1)
    top = flat.max(1)
    evidence = top + np.log(np.exp(flat - top[:, None]).sum(1))
    sharp = np.exp(sharpness * (flat - top[:, None]))
    return (sharp / sharp.sum(1, keepdims=True)).reshape(log.shape), evidence


def twin_signal(
    images: np.ndarray,
    weights: np.ndarray,
    points: Points,
    psi_rad: np.ndarray,
    shifts_px: np.ndarray,
    noise_power: np.ndarray,
    *,
    ctf: CTFParameters | None = None,
    pixel_size_A: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """M-step sums at the points, in the class frame: (sum of C X / sigma^2, sum of C^2 / sigma^2), (K, m) each.

    weights: (n, K, S, n_psi). At a point k of the class frame an image of pose psi is read at R(-psi) k.
    """
    n_classes = weights.shape[1]
    noise = np.broadcast_to(noise_power, (len(images), np.shape(noise_power)[-1]))[:, points.ring]
    signal = np.zeros((n_classes, len(points.k)), np.complex128)
    power = np.zeros((n_classes, len(points.k)))
    back = np.exp(-2j * np.pi * shifts_px @ points.k.T)
    for j, psi in enumerate(psi_rad):
        turned = points.k @ in_plane_matrix(-np.rad2deg(psi)).T
        c = np.stack([twin_ctf(ctf, i, *(turned.T / pixel_size_A)) for i in range(len(images))])
        x = fourier_at(images, turned) * c / noise
        signal += np.einsum("nks,np,sp->kp", weights[..., j], x, back, optimize=True)
        power += weights[..., j].sum(2).T @ (c**2 / noise)
    return signal, power
