"""How far a fitted CTF is right: rings along lines of equal phase, and to which resolution they fit."""

from dataclasses import dataclass

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_model import MM_TO_A, Start, background_at, phases, visibility_at
from vitreous.micrographs.ctf_points import Points
from vitreous.micrographs.ctf_settings import Microscope
from vitreous.optics import electron_wavelength_A

__all__ = ["CTFProfile", "correlation", "fit_resolution_A", "profile_of", "unexplained", "zeros_to"]

FITS = 0.5  # local correlation
DIP = 0.5 * np.pi  # of the phase, half the distance of two rings
NEAR = np.pi  # phases this near, on either side, belong to a place: a ring on each side
FEWEST = 7  # values of a local correlation


@dataclass(frozen=True, kw_only=True, eq=False)
class CTFProfile:
    """The spectrum over its background, averaged along lines of equal phase, at the frequency of the mean defocus."""

    k_per_A: np.ndarray  # (n,)
    measured: np.ndarray
    fitted: np.ndarray
    local: np.ndarray  # correlation of the two around every frequency
    phase_rad: np.ndarray  # of the CTF
    values: np.ndarray  # int64, of the spectrum that were averaged

    def __len__(self) -> int:
        return len(self.k_per_A)


def profile_of(points: Points, at: Start, microscope: Microscope, band: Band) -> CTFProfile:
    """Averages of I / B and of the model in bins as wide as those of the spectrum.

    Where the turning point of the phase, ``k^2 = dz / (Cs lambda^2)``, is near, bins are those of the frequency itself.
    """
    phase = phases(at, microscope, points.kx, points.ky)
    relative = points.power / background_at(points.k, at, band)
    model = 1.0 - visibility_at(points.k, at, band) * np.cos(2.0 * phase)
    place = _place(points, at, microscope) / points.spacing_per_A
    first, last = np.ceil(band.low_per_A / points.spacing_per_A), np.floor(band.high_per_A / points.spacing_per_A)
    index = np.rint(place).astype(np.int64) - int(first)
    bins = int(last - first) + 1
    inside = (index >= 0) & (index < bins)
    count = np.bincount(index[inside], minlength=bins)
    mean = [
        np.bincount(index[inside], values[inside], minlength=bins) / np.maximum(count, 1)
        for values in (place * points.spacing_per_A, relative, model)
    ]
    full = count > 0
    k, measured, fitted = (values[full] for values in mean)
    iso = phases(at.round(), microscope, k, np.zeros_like(k))
    return CTFProfile(
        k_per_A=k,
        measured=measured,
        fitted=fitted,
        phase_rad=iso,
        local=_local(k, measured, fitted, iso, count[full]),
        values=count[full],
    )


def _place(points: Points, at: Start, microscope: Microscope) -> np.ndarray:
    """The frequency at which the CTF of the mean defocus has the phase that this one has here."""
    wavelength = float(electron_wavelength_A(microscope.voltage_kV))
    quartic = 0.5 * np.pi * microscope.cs_mm * MM_TO_A * wavelength**3
    slope, x = np.pi * wavelength * at.mean_A, points.k**2
    phase = phases(at, microscope, points.kx, points.ky) - phases(Start.at_focus(at.phase_deg), microscope, 0.0, 0.0)
    root = slope**2 - 4.0 * quartic * phase
    solved = 2.0 * phase / (slope + np.sqrt(np.maximum(root, 0.0)))
    early = (slope - 2.0 * quartic * x > 0.3 * slope) & (root > 0) & (solved > 0)
    place: np.ndarray = np.sqrt(np.where(early, solved, x))
    return place


def _local(k: np.ndarray, measured: np.ndarray, fitted: np.ndarray, phase: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Weighted correlation of two curves within ``NEAR`` of every place, less their straight lines there."""
    n = len(phase)
    local = np.zeros(n)
    for i in range(n):
        near = np.flatnonzero(np.abs(phase - phase[i]) <= NEAR)
        if len(near) < FEWEST:
            near = np.arange(max(0, i - FEWEST // 2), min(n, i + FEWEST // 2 + 1))
        weight = count[near].astype(np.float64)
        a, b = (_straightened(values[near], k[near], weight) for values in (measured, fitted))
        norm = np.sqrt(np.sum(weight * a * a) * np.sum(weight * b * b))
        local[i] = np.sum(weight * a * b) / norm if norm > 0 else 0.0
    return local


def _straightened(values: np.ndarray, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    total = weight.sum()
    centred = x - np.sum(weight * x) / total
    rest = values - np.sum(weight * values) / total
    straight: np.ndarray = rest - centred * np.sum(weight * centred * rest) / np.sum(weight * centred**2)
    return straight


def fit_resolution_A(profile: CTFProfile) -> float:
    """The finest detail, in Angstrom, to which the local correlation stays at ``FITS`` or above; inf where it never is.

    The beginning, where the shape of particles rules, may be worse: the count begins at the first place that fits below
    the second zero of the CTF. Dips shorter than ``DIP`` do not end it.
    """
    good, phase = profile.local >= FITS, profile.phase_rad
    early = np.flatnonzero(good & (phase <= phase[0] + 2.0 * np.pi))
    if not len(early):
        return float("inf")
    last = early[0]
    for place in np.flatnonzero(good):
        if place > last and (place == last + 1 or abs(phase[place - 1] - phase[last + 1]) < DIP):
            last = place
    return float(1.0 / profile.k_per_A[last])


def zeros_to(profile: CTFProfile, resolution_A: float) -> int:
    """Zeros of the CTF, whole multiples of pi of its phase, from the origin to a resolution."""
    seen = profile.phase_rad[profile.k_per_A * resolution_A <= 1.0 + 1e-9]
    return int(np.floor(seen.max() / np.pi)) if len(seen) else 0


def unexplained(profile: CTFProfile, information: float) -> float:
    """How much log likelihood the curve could still gain by following what was measured, less what noise gives.

    information: independent numbers behind a value of the spectrum.
    """
    rest = profile.measured / profile.fitted - 1.0
    return 0.5 * float(np.sum(profile.values * information * rest**2) - len(profile))


def correlation(points: Points, at: Start, microscope: Microscope, band: Band) -> float:
    """Normalised correlation of the spectrum over its background with the rings of the model, over all values."""
    relative = points.power / background_at(points.k, at, band)
    rings = -visibility_at(points.k, at, band) * np.cos(2.0 * phases(at, microscope, points.kx, points.ky))
    a, b = relative - relative.mean(), rings - rings.mean()
    norm = np.sqrt(np.sum(a * a) * np.sum(b * b))
    return float(np.sum(a * b) / norm) if norm > 0 else 0.0
