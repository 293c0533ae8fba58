"""The hidden truth of every particle: drawn from (seed, particle id, purpose) alone."""

from dataclasses import dataclass

import numpy as np

from vitreous.optics import CTFParameters
from vitreous.randomness import uniforms
from vitreous.simulate.settings import SimulateSettings

__all__ = ["Micrographs", "draw_classes", "draw_junk", "draw_micrographs", "draw_shifts_px", "draw_views"]


@dataclass(frozen=True, kw_only=True)
class Micrographs:
    """Which micrograph each of b particles is on, and the optics there."""

    index: np.ndarray  # (b,) from 0
    ctf: CTFParameters  # (b,)


def draw_classes(settings: SimulateSettings, ids: np.ndarray) -> np.ndarray:
    """Which source every particle shows, from 0: (b,)."""
    share = np.array(settings.proportions or (1.0,) * len(settings.source))
    edges = np.cumsum(share) / share.sum()
    return np.searchsorted(edges[:-1], uniforms(settings.seed, "class", ids=ids, count=1)[:, 0], side="right")


def draw_junk(settings: SimulateSettings, ids: np.ndarray) -> np.ndarray:
    """The word none, or the kind of junk of every particle: (b,) of str."""
    u = uniforms(settings.seed, "junk", ids=ids, count=2)
    kind = np.array(settings.junk_kinds)[(u[:, 1] * len(settings.junk_kinds)).astype(int)]
    return np.where(u[:, 0] < settings.junk_fraction, kind, "none")


def draw_shifts_px(settings: SimulateSettings, purpose: str, ids: np.ndarray) -> np.ndarray:
    """Where every particle sits, (x, y) in pixels from the centre: (b, 2)."""
    u = uniforms(settings.seed, purpose, ids=ids, count=2)
    if settings.shift_sd_px > 0:
        radius = np.sqrt(-2.0 * np.log(u[:, 0]))  # Box and Muller
        angle = 2.0 * np.pi * u[:, 1]
        return settings.shift_sd_px * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return settings.shift_max_px * (2.0 * u - 1.0)


def draw_views(settings: SimulateSettings, purpose: str, ids: np.ndarray) -> np.ndarray:
    """Uniform on SO(3), or directions about a few preferred axes (von Mises-Fisher) with uniform psi.

    Returns (b, 3) rot, tilt, psi in degrees.
    """
    u = uniforms(settings.seed, purpose, ids=ids, count=4)
    psi = 360.0 * u[:, 2] - 180.0
    if settings.orientations == "uniform":
        rot, tilt = 360.0 * u[:, 0] - 180.0, np.rad2deg(np.arccos(2.0 * u[:, 1] - 1.0))
        return np.stack([rot, tilt, psi], axis=1)
    axes = _preferred_axes(settings)[(u[:, 3] * settings.preferred_axes).astype(int)]
    kappa = max(settings.kappa, 1e-6)
    cosine = 1.0 + np.log(u[:, 1] + (1.0 - u[:, 1]) * np.exp(-2.0 * kappa)) / kappa
    sine, phi = np.sqrt(np.maximum(0.0, 1.0 - cosine**2)), 2.0 * np.pi * u[:, 0]
    first, second = _perpendicular(axes)
    direction = cosine[:, None] * axes + sine[:, None] * (np.cos(phi)[:, None] * first + np.sin(phi)[:, None] * second)
    rot = np.rad2deg(np.arctan2(direction[:, 1], direction[:, 0]))
    tilt = np.rad2deg(np.arccos(np.clip(direction[:, 2], -1.0, 1.0)))
    return np.stack([rot, tilt, psi], axis=1)


def draw_micrographs(settings: SimulateSettings, ids: np.ndarray) -> Micrographs:
    """A micrograph for every particle; a micrograph has one defocus and one astigmatism."""
    groups = settings.defocus_groups
    index = (uniforms(settings.seed, "micrograph", ids=ids, count=1)[:, 0] * groups).astype(int)
    step = (settings.defocus_max_A - settings.defocus_min_A) / max(groups - 1, 1)
    mean = settings.defocus_min_A + step * index
    angle = 180.0 * uniforms(settings.seed, "astigmatism", ids=index, count=1)[:, 0]
    ones = np.ones(len(ids))
    ctf = CTFParameters(
        defocus_u_A=mean + settings.astigmatism_A / 2.0,
        defocus_v_A=mean - settings.astigmatism_A / 2.0,
        defocus_angle_deg=angle if settings.astigmatism_A > 0 else 0.0 * ones,
        voltage_kV=settings.voltage_kV * ones,
        cs_mm=settings.cs_mm * ones,
        amplitude_contrast=settings.amplitude_contrast * ones,
        phase_shift_deg=settings.phase_shift_deg * ones,
        b_factor_A2=settings.b_factor_A2 * ones,
    )
    return Micrographs(index=index, ctf=ctf)


def _preferred_axes(settings: SimulateSettings) -> np.ndarray:
    u = uniforms(settings.seed, "preferred axes", ids=np.arange(settings.preferred_axes), count=2)
    z, phi = 2.0 * u[:, 0] - 1.0, 2.0 * np.pi * u[:, 1]
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=1)


def _perpendicular(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors that complete every axis (b, 3) to an orthonormal basis."""
    helper = np.where(np.abs(axes[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(axes, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.cross(axes, first)
