"""Where a fit begins: all defoci and astigmatisms, on profiles of the spectrum in sectors.

The spectrum less its background, ``I / B - 1``, is averaged on rings within sectors of half a turn. With astigmatism
every sector s has its own defocus, ``dz_s = mean + difference cos 2(theta_s - angle)``, and to the first order the log
likelihood gains by a model of small visibility m(k) is

    M sum_sk n_sk ( D_sk t_sk - t_sk^2 / 2 ),      t_sk = -m(k) cos 2 g(k, dz_s).

For a visibility of given form, ``m = a e(k)``, the best amplitude gives ``(M / 2) <D, t>^2 / <t, t>`` for a > 0. So two
tables, ``<D_s, t(dz)>`` of sectors and defoci and ``<t(dz), t(dz)>`` of defoci, hold what all combinations of mean,
difference and angle need: each is a sum of as many entries as there are sectors. What polynomials of the background
can explain is taken off D and t before.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_model import Start, phases
from vitreous.micrographs.ctf_points import Points
from vitreous.micrographs.ctf_settings import EstimateCTF, Microscope
from vitreous.optics import electron_wavelength_A

__all__ = ["search"]

SECTORS = 12
STEP_TURN = 0.12  # of the phase 2 g / (2 pi) at the finest detail, between defoci
DECAYS = (0.0, 1.5, 4.0, 10.0, 25.0)  # exponents of the visibility at the end of the band
SPLIT_STEP = 0.4  # the same for astigmatism, which has to be met less well
WIDEST_SPLIT_A = 2500.0  # greatest (U - V) / 2 that is looked for; the fit may find more
STARTS = 3  # places that are refined
PHASE_STEP_DEG = 15.0


def search(
    points: Points,
    background: np.ndarray,
    microscope: Microscope,
    settings: EstimateCTF,
    band: Band,
) -> tuple[Start, ...]:
    """The best starts of different defocus over all defoci, astigmatisms and, if asked for, phase shifts."""
    profiles = _profiles(points, background, band)
    step = STEP_TURN / _turns(microscope, band)
    defoci = np.arange(settings.lowest_defocus_A, settings.highest_defocus_A + step, step)
    splits = _splits(step, _turns(microscope, band))
    shifts = np.arange(0.0, 180.0, PHASE_STEP_DEG) if settings.phase_shift else np.array([settings.phase_shift_deg])
    margin = int(np.ceil(WIDEST_SPLIT_A / step))
    grid = defoci[0] + step * np.arange(-margin, len(defoci) + margin)
    places = [
        place
        for shift in shifts
        for place in _best_of_phase(profiles, grid, margin, splits, float(shift), microscope, band)
    ]
    places.sort(key=lambda place: -place.score)
    chosen: list[_Place] = []
    for place in places:
        if len(chosen) < STARTS and all(place.unlike(other) for other in chosen):
            chosen.append(place)
    return tuple(_start(place, background, band) for place in chosen)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Profiles:
    """Rings within sectors, freed of what the background explains, scaled to the same variance."""

    values: np.ndarray  # (SECTORS, rings)
    k: np.ndarray  # (rings,)
    root: np.ndarray  # (rings,) of the number of values per sector
    explained: np.ndarray  # (background, rings) orthonormal


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    score: float
    mean_A: float
    split_A: float
    angle_rad: float
    phase_deg: float
    amplitude: float
    decay: float
    period_A: float  # of the defocus, between maxima of the score

    def unlike(self, other: "_Place") -> bool:
        return abs(self.mean_A - other.mean_A) > 0.7 * self.period_A or self.phase_deg != other.phase_deg


def _turns(microscope: Microscope, band: Band) -> float:
    """Turns of 2 g per Angstrom of defocus at the finest detail."""
    return float(electron_wavelength_A(microscope.voltage_kV)) * band.high_per_A**2


def _profiles(points: Points, background: np.ndarray, band: Band) -> _Profiles:
    relative = points.power * np.exp(-(background @ band.polynomials(points.k, band.background))) - 1.0
    spacing = points.spacing_per_A
    first = round(band.low_per_A / spacing)
    ring = np.rint(points.k / spacing).astype(np.int64) - first
    rings = int(ring.max()) + 1
    turn = np.mod(np.arctan2(points.ky, points.kx), np.pi) / np.pi
    cell = np.minimum((turn * SECTORS).astype(np.int64), SECTORS - 1) * rings + ring
    count = np.bincount(cell, minlength=SECTORS * rings).reshape(SECTORS, rings)
    total = np.bincount(cell, relative, minlength=SECTORS * rings).reshape(SECTORS, rings)
    root = np.sqrt(count.mean(axis=0))
    k = (first + np.arange(rings)) * spacing
    explained = np.linalg.qr((band.polynomials(k, band.background) * root).T)[0].T
    values = total / np.maximum(count, 1) * root
    return _Profiles(values=values - (values @ explained.T) @ explained, k=k, root=root, explained=explained)


def _splits(step_A: float, turns: float) -> np.ndarray:
    """(U - V) / 2 that are tried, in steps of the grid of defoci."""
    return np.arange(0.0, WIDEST_SPLIT_A / step_A, SPLIT_STEP / turns / step_A)


def _best_of_phase(
    profiles: _Profiles,
    grid: np.ndarray,
    margin: int,
    splits: np.ndarray,
    shift_deg: float,
    microscope: Microscope,
    band: Band,
) -> list[_Place]:
    """The local maxima over the mean defocus, each with its best astigmatism and visibility."""
    overlap, power = _tables(profiles, grid, shift_deg, microscope, band)
    inner = len(grid) - 2 * margin
    best = np.full(inner, -np.inf)
    how = np.zeros((inner, 3))  # split, angle, decay
    angles = (np.arange(SECTORS) + 0.5) * np.pi / SECTORS
    for split in splits:
        for angle in angles if split > 0 else angles[:1]:
            offset = np.rint(split * np.cos(2.0 * (angles - angle))).astype(np.int64) + margin
            taken = sum(overlap[s, o : o + inner] for s, o in enumerate(offset))
            norm = sum(power[o : o + inner] for o in offset)
            score = taken / np.sqrt(np.maximum(norm, 1e-12))
            decay = score.argmax(axis=1)
            top = score[np.arange(inner), decay]
            better = top > best
            best = np.where(better, top, best)
            how[better] = np.stack([np.full(inner, split), np.full(inner, angle), decay], axis=1)[better]
    amplitude = best / np.sqrt(np.maximum(SECTORS * power[margin : margin + inner].max(axis=1), 1e-12))
    edge = np.concatenate([[-np.inf], best, [-np.inf]])
    peaks = np.flatnonzero((best >= edge[:-2]) & (best >= edge[2:]))
    peaks = peaks[np.argsort(-best[peaks], kind="stable")][: 4 * STARTS]
    step = grid[1] - grid[0]
    return [
        _Place(
            score=float(best[i]),
            mean_A=float(grid[margin + i]),
            split_A=float(how[i, 0] * step),
            angle_rad=float(how[i, 1]),
            phase_deg=shift_deg,
            amplitude=float(np.clip(amplitude[i], 0.02, 0.8)),
            decay=DECAYS[int(how[i, 2])],
            period_A=1.0 / _turns(microscope, band),
        )
        for i in peaks
    ]


def _tables(
    profiles: _Profiles,
    grid: np.ndarray,
    shift_deg: float,
    microscope: Microscope,
    band: Band,
) -> tuple[np.ndarray, np.ndarray]:
    """<D_s, t(dz)> (SECTORS, grid, decays) and <t(dz), t(dz)> (grid, decays)."""
    k, at = profiles.k, Start.at_focus(shift_deg)
    wavelength = float(electron_wavelength_A(microscope.voltage_kV))
    rest = phases(at, microscope, k, np.zeros_like(k))
    rings = -np.cos(2.0 * (rest + np.pi * wavelength * grid[:, None] * k**2)) * profiles.root
    share = (k**2 - band.low_per_A**2) / (band.high_per_A**2 - band.low_per_A**2)
    overlap, power = [], []
    for decay in DECAYS:
        form = rings * np.exp(-decay * share)
        form -= (form @ profiles.explained.T) @ profiles.explained
        overlap.append(profiles.values @ form.T)
        power.append(np.sum(form * form, axis=1))
    return np.stack(overlap, axis=2), np.stack(power, axis=1)


def _start(place: _Place, background: np.ndarray, band: Band) -> Start:
    k = np.linspace(band.low_per_A, band.high_per_A, 64)
    share = (k**2 - k[0] ** 2) / (k[-1] ** 2 - k[0] ** 2)
    visible = np.clip(place.amplitude * np.exp(-place.decay * share), 1e-3, 0.9)
    basis = band.polynomials(k, band.visibility).T
    return Start(
        mean_A=place.mean_A,
        along_A=place.split_A * float(np.cos(2.0 * place.angle_rad)),
        across_A=place.split_A * float(np.sin(2.0 * place.angle_rad)),
        phase_deg=place.phase_deg,
        background=background,
        visibility=np.linalg.lstsq(basis, np.log(visible / (1.0 - visible)), rcond=None)[0],
    )
