"""The power spectrum of a micrograph under a CTF, its likelihood, and the fit by Fisher scoring.

Model. Ice, particles and carbon scatter with power S, the camera and what has lost its coherence add power N, and both
change slowly with the frequency k. In the weak phase approximation the spectrum is

    P(k) = N + 2 S sin^2 g(k) = B(|k|) (1 - m(|k|) cos 2 g(k)),        B = N + S,  m = S / B between 0 and 1,
    g(k) = pi lambda dz(theta) k^2 - (pi / 2) Cs lambda^3 k^4 + phi + asin w,
    dz k^2 = mean k^2 + along (kx^2 - ky^2) + across 2 kx ky.

(mean, along, across) = ((U + V) / 2, (U - V) / 2 cos 2a, (U - V) / 2 sin 2a) has no singular point at U = V, where the
angle a means nothing. The background log B is a polynomial in |k|, the visibility m the logistic function of another.

Likelihood. An averaged periodogram I of stationary noise is, at every frequency, gamma distributed about P with the
relative variance 1 / M (Whittle 1953), so

    log L = - M sum_k ( log P(k) + I(k) / P(k) ),
    d log L / d theta = M sum_k (I / P - 1) d log P / d theta,        Fisher information M sum_k (d log P)(d log P)^T.

Fisher scoring is Gauss-Newton on the relative residual I / P - 1. It weighs rings by how well they are seen, by itself,
and background and rings are fitted together, so that the uncertainty of the first is in that of the second. With

    q = 1 - m cos 2g,  d log P / d g = 2 m sin 2g / q,  d log P / d log B = 1,  d log P / d u = -m (1 - m) cos 2g / q,

u being the argument of the logistic function. A weak Gaussian prior on the coefficients of u keeps them finite where
nothing is seen. M is less than the number of tiles by what their overlap and the window make alike.
"""

from dataclasses import dataclass, replace

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_points import Points
from vitreous.micrographs.ctf_settings import Microscope
from vitreous.optics import electron_wavelength_A

__all__ = [
    "Fit",
    "Start",
    "background_at",
    "fitted",
    "likelihood_gradient",
    "phases",
    "visibility_at",
    "without_rings",
]

SPREAD = (3.0, 2.0, 1.0, 1.0)  # standard deviations of the prior on u, by degree
SCALE = 1000.0  # Angstrom, unit of defocus parameters within the fit
STEPS, SETTLED = 40, 1e-7  # of the fit; gain in log likelihood per value of it that ends it
MM_TO_A = 1e7


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where a fit begins, or what it has found."""

    mean_A: float
    along_A: float
    across_A: float
    phase_deg: float
    background: np.ndarray  # coefficients of log B
    visibility: np.ndarray  # coefficients of u

    @classmethod
    def at_focus(cls, phase_deg: float) -> "Start":
        """No defocus, no background."""
        nothing = np.zeros(0)
        return cls(mean_A=0.0, along_A=0.0, across_A=0.0, phase_deg=phase_deg, background=nothing, visibility=nothing)

    def round(self) -> "Start":
        """Without astigmatism."""
        return replace(self, along_A=0.0, across_A=0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """A fit at its end."""

    at: Start
    log_likelihood: float
    covariance_A2: np.ndarray  # (3, 3) of mean, along, across
    steps: int


def phases(at: Start, microscope: Microscope, kx_per_A: np.ndarray | float, ky_per_A: np.ndarray | float) -> np.ndarray:
    """g at frequencies, in radians: the CTF is its sine."""
    wavelength = float(electron_wavelength_A(microscope.voltage_kV))
    k2 = kx_per_A**2 + ky_per_A**2
    form = at.mean_A * k2 + at.along_A * (kx_per_A**2 - ky_per_A**2) + at.across_A * 2.0 * kx_per_A * ky_per_A
    quartic = 0.5 * np.pi * microscope.cs_mm * MM_TO_A * wavelength**3
    constant = np.deg2rad(at.phase_deg) + np.arcsin(microscope.amplitude_contrast)
    return np.asarray(np.pi * wavelength * form - quartic * k2 * k2 + constant)


def background_at(k_per_A: np.ndarray, at: Start, band: Band) -> np.ndarray:
    """B at frequencies."""
    background: np.ndarray = np.exp(at.background @ band.polynomials(k_per_A, band.background))
    return background


def visibility_at(k_per_A: np.ndarray, at: Start, band: Band) -> np.ndarray:
    """m at frequencies."""
    visible: np.ndarray = 1.0 / (1.0 + np.exp(-(at.visibility @ band.polynomials(k_per_A, band.visibility))))
    return visible


@dataclass(frozen=True, kw_only=True, eq=False)
class _Problem:
    """What does not change during a fit."""

    points: Points
    microscope: Microscope
    band: Band
    basis: np.ndarray  # (background, n)
    slopes: np.ndarray  # (3 or 4, n) of g, by the parameters of the optics
    prior: np.ndarray  # (parameters,) weights of squares

    @property
    def optics(self) -> int:
        return len(self.slopes)

    def start(self, values: np.ndarray, fixed_phase_deg: float) -> Start:
        free, background = self.optics, self.optics + self.band.background
        return Start(
            mean_A=float(values[0]) * SCALE,
            along_A=float(values[1]) * SCALE,
            across_A=float(values[2]) * SCALE,
            phase_deg=float(np.rad2deg(values[3])) if free > 3 else fixed_phase_deg,
            background=values[free:background],
            visibility=values[background:],
        )

    def objective(self, values: np.ndarray, power: np.ndarray) -> float:
        """Log likelihood and log prior per independent number."""
        likelihood = -float(np.sum(np.log(power) + self.points.power / power))
        return likelihood - 0.5 * float(np.sum(self.prior * values**2))


def _problem(points: Points, microscope: Microscope, band: Band, *, phase: bool) -> _Problem:
    scale = np.pi * float(electron_wavelength_A(microscope.voltage_kV)) * SCALE
    squares = (points.k**2, points.kx**2 - points.ky**2, 2.0 * points.kx * points.ky)
    slopes = np.stack([*(scale * square for square in squares), *([np.ones_like(points.k)] if phase else [])])
    weights = 1.0 / (np.square(SPREAD[: band.visibility]) * points.information)
    return _Problem(
        points=points,
        microscope=microscope,
        band=band,
        basis=band.polynomials(points.k, band.background),
        slopes=slopes,
        prior=np.concatenate([np.zeros(len(slopes) + band.background), weights]),
    )


def _values(at: Start, optics: int) -> np.ndarray:
    phase = [np.deg2rad(at.phase_deg)][: optics - 3]
    return np.array(
        [at.mean_A / SCALE, at.along_A / SCALE, at.across_A / SCALE, *phase, *at.background, *at.visibility]
    )


def _model(problem: _Problem, at: Start, *, slopes: bool) -> tuple[np.ndarray, np.ndarray]:
    """P, and d log P by all parameters (parameters, n), empty unless ``slopes``."""
    points = problem.points
    twice = 2.0 * phases(at, problem.microscope, points.kx, points.ky)
    cosine = np.cos(twice)
    visible = 1.0 / (1.0 + np.exp(-(at.visibility @ problem.basis[: problem.band.visibility])))
    contrast = 1.0 - visible * cosine
    power = np.exp(at.background @ problem.basis) * contrast
    if not slopes:
        return power, np.empty((0, 0))
    by_phase = 2.0 * visible * np.sin(twice) / contrast
    by_visibility = -visible * (1.0 - visible) * cosine / contrast
    return power, np.concatenate(
        [problem.slopes * by_phase, problem.basis, problem.basis[: problem.band.visibility] * by_visibility]
    )


def likelihood_gradient(
    points: Points, at: Start, microscope: Microscope, band: Band, *, phase: bool = False
) -> tuple[float, np.ndarray]:
    """Log posterior per independent number, and its gradient by the parameters of the fit.

    These are mean, along and across (in units of 1000 A), with ``phase`` the phase shift (in radians), and the
    coefficients of background and visibility.
    """
    problem = _problem(points, microscope, band, phase=phase)
    values = _values(at, problem.optics)
    power, slopes = _model(problem, at, slopes=True)
    return problem.objective(values, power), slopes @ (points.power / power - 1.0) - problem.prior * values


def fitted(
    points: Points,
    start: Start,
    microscope: Microscope,
    band: Band,
    *,
    phase: bool = False,
    most_steps: int = STEPS,
) -> Fit:
    """The maximum of the likelihood near a start, by Fisher scoring with damping (Levenberg and Marquardt)."""
    problem = _problem(points, microscope, band, phase=phase)
    values, damping, steps = _values(start, problem.optics), 1e-3, 0
    at = start
    power, slopes = _model(problem, at, slopes=True)
    best = problem.objective(values, power)
    information = slopes @ slopes.T + np.diag(problem.prior)
    while steps < most_steps:
        steps += 1
        gradient = slopes @ (points.power / power - 1.0) - problem.prior * values
        damped = information + damping * np.diag(np.diag(information) + 1e-12)
        trial = values + np.linalg.solve(damped, gradient)
        there = problem.start(trial, start.phase_deg)
        reached = problem.objective(trial, _model(problem, there, slopes=False)[0])
        if not reached > best:
            damping *= 10.0
            if damping > 1e6:
                break
            continue
        gain, best, values, at, damping = reached - best, reached, trial, there, max(damping / 10.0, 1e-9)
        power, slopes = _model(problem, at, slopes=True)
        information = slopes @ slopes.T + np.diag(problem.prior)
        if gain < SETTLED * len(points.power):
            break
    covariance = np.linalg.inv(information * points.information)[:3, :3] * SCALE**2
    return Fit(at=at, log_likelihood=best * points.information, covariance_A2=covariance, steps=steps)


def without_rings(points: Points, band: Band) -> tuple[np.ndarray, float]:
    """A background alone: coefficients of log B, and the log likelihood, which fits with rings are compared with."""
    basis = band.polynomials(points.k, band.background)
    inverse = np.linalg.inv(basis @ basis.T)
    at = inverse @ (basis @ np.log(np.maximum(points.power, np.finfo(float).tiny)))
    for _ in range(STEPS):
        step = inverse @ (basis @ (points.power * np.exp(-(at @ basis)) - 1.0))
        at = at + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < SETTLED:
            break
    log_power = at @ basis
    return at, -float(np.sum(log_power + points.power * np.exp(-log_power))) * points.information
