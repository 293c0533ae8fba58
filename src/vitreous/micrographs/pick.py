"""Particles in one micrograph: clean, estimate the noise, filter, score, exclude."""

from dataclasses import dataclass

import numpy as np

from vitreous.micrographs.cleaning import CleanImage, clean
from vitreous.micrographs.contaminants import disc_sum, hot_spots, least_score, oddness
from vitreous.micrographs.detection import Scan, filtered, local_score, scan
from vitreous.micrographs.peaks import find_peaks, refined_peaks
from vitreous.micrographs.settings import Pick
from vitreous.micrographs.spectra import quiet_noise
from vitreous.micrographs.templates import Bank
from vitreous.micrographs.threshold import Calibration, calibrated, local_noise
from vitreous.optics import CTFParameters

__all__ = ["Picks", "pick_micrograph", "working_pixel_A"]

PIXELS_PER_DIAMETER = 20  # of the images that are searched: finer detail has no weight in the filters
APART = 0.5  # diameters between candidates, before the distance that is asked for
LEAST_PX = 4.0  # of a particle across, below which it has no shape
LISTED = 1.0  # local score below which nothing is a candidate


@dataclass(frozen=True, kw_only=True, eq=False)
class Picks:
    """Candidates of one micrograph from the best down; those without a reason are picks."""

    x_px: np.ndarray  # (n,) float32, from the centre of the first pixel of the micrograph; y is its row
    y_px: np.ndarray
    score: np.ndarray  # (n,) local score less the price of being odd
    significance: np.ndarray  # (n,) response of the best filter in standard deviations of the noise there
    template: np.ndarray  # (n,) int64 from 0
    psi_deg: np.ndarray
    carbon: np.ndarray  # (n,) bool, whether it lies on what looks like carbon
    reason: tuple[str, ...]  # "" or why a candidate is no pick
    threshold: float  # of the significance, above which noise makes the stated number of picks
    hot_px: int
    shape: tuple[int, int]  # of the micrograph, rows and columns

    @property
    def accepted(self) -> np.ndarray:
        """(n,) bool, which are picks."""
        return np.array([not word for word in self.reason], dtype=bool)


def working_pixel_A(pixel_size_A: float, diameter_A: float) -> float:
    """The pixel size at which micrographs are searched: a twentieth of the diameter, never finer than the data."""
    return max(pixel_size_A, diameter_A / PIXELS_PER_DIAMETER)


def pick_micrograph(
    data: np.ndarray, pixel_size_A: float, bank: Bank, settings: Pick, *, ctf: CTFParameters | None = None
) -> Picks:
    """Find the particles of a micrograph (rows, columns); what else is in a list has no influence.

    The bank has the pixel size of :func:`working_pixel_A`. Raises ValueError for a micrograph that is
    smaller than a template, and for particles of less than four pixels.
    """
    if bank.diameter_px < LEAST_PX:
        raise ValueError(
            f"a particle of {bank.diameter_A:g} A is {bank.diameter_px:.2g} pixels of {pixel_size_A:g} A across; "
            f"expected at least {LEAST_PX:g}: is the pixel size or the diameter wrong?"
        )
    settings = settings.chosen(ball=len(bank.filters) == 1)
    image = clean(data, pixel_size_A, bank.pixel_size_A, invert=settings.invert_contrast, diameter_A=bank.diameter_A)
    if min(image.data.shape) < bank.filters.shape[1]:
        rows, columns = data.shape
        raise ValueError(
            f"{columns} x {rows} pixels of {pixel_size_A:g} A are less than a template of "
            f"{bank.filters.shape[1] * bank.pixel_size_A:.0f} A: is the pixel size or the diameter wrong?"
        )
    found = _filtered(image, bank, settings, ctf if settings.ctf else None)
    score = local_score(found.scan.highest, bank.diameter_px)
    index = find_peaks(score, APART * bank.diameter_px, LISTED)
    return _judged(index, score, found, image, bank, settings, data.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    scan: Scan
    mass: np.ndarray
    noise: np.ndarray  # standard deviation of the response at every pixel
    calibration: Calibration
    area: float  # of the micrograph in squares of the diameter


def _filtered(image: CleanImage, bank: Bank, settings: Pick, ctf: CTFParameters | None) -> _Found:
    assert settings.detail is not None  # has been chosen
    diameter_px, detail = bank.diameter_px, settings.detail
    power = quiet_noise(image.data, diameter_px)
    ready = filtered(image.data, bank, power, ctf, detail=detail, whiten=settings.whiten)
    found = scan(ready, bank)
    calibration = calibrated(bank, power, ctf, detail=detail, whiten=settings.whiten)
    area = image.data.size / diameter_px**2
    return _Found(
        scan=found,
        mass=disc_sum(ready.smooth, diameter_px),
        noise=local_noise(found.highest, calibration, diameter_px),
        calibration=calibration,
        area=area,
    )


def _judged(
    index: np.ndarray,
    score: np.ndarray,
    found: _Found,
    image: CleanImage,
    bank: Bank,
    settings: Pick,
    shape: tuple[int, int],
) -> Picks:
    at = tuple(index.T)
    response = found.scan.highest[at]
    significance = response / found.noise[at]
    real = significance >= found.calibration.mostly_real(significance, found.area)
    odd = oddness(score[at], response, found.mass[at], real)
    merit = score[at] - (odd.price if settings.contaminants else 0.0)
    order = np.argsort(-merit, kind="stable")
    place = refined_peaks(score, index)[order]
    xy_px = np.stack([place[:, 1] / image.scale[0], place[:, 0] / image.scale[1]], axis=1)
    words = np.array(odd.reason if settings.contaminants else [""] * len(index), dtype=object)[order]
    pixel_A = bank.pixel_size_A * image.scale[0]
    diameter_px = bank.diameter_A / pixel_A
    if settings.contaminants:
        words[hot_spots(xy_px, image.hot_px, diameter_px, shape[0] * shape[1])] = "hot"
    carbon = image.carbon[at][order]
    if not settings.carbon:
        words[carbon] = "carbon"
    if settings.false_picks is None:
        limit = found.calibration.chosen(significance, found.area)
        least = least_score(merit[order], real[order] & (words == "")) if settings.contaminants else -np.inf
        words[(words == "") & (merit[order] < least)] = "doubtful"
    else:
        limit = found.calibration.threshold(settings.false_picks, found.area)
    noise = significance[order] < limit
    filters = found.scan.filter[at][order].astype(np.int64)
    return Picks(
        x_px=xy_px[:, 0].astype(np.float32),
        y_px=xy_px[:, 1].astype(np.float32),
        score=merit[order].astype(np.float32),
        significance=significance[order].astype(np.float32),
        template=filters // bank.angles,
        psi_deg=bank.psi_deg[filters % bank.angles].astype(np.float32),
        carbon=carbon,
        reason=_reasons(xy_px, noise, words, diameter_px, settings, pixel_A, shape),
        threshold=limit,
        hot_px=image.hot,
        shape=(shape[0], shape[1]),
    )


def _reasons(
    xy_px: np.ndarray,
    noise: np.ndarray,
    odd: np.ndarray,
    diameter_px: float,
    settings: Pick,
    pixel_size_A: float,
    shape: tuple[int, int],
) -> tuple[str, ...]:
    """Why candidates, from the best down, are no picks; the distance is kept from those that are."""
    edge = 0.5 * diameter_px if settings.edge_A is None else settings.edge_A / pixel_size_A
    apart = 0.75 * diameter_px if settings.distance_A is None else settings.distance_A / pixel_size_A
    farthest = np.array([shape[1] - 1, shape[0] - 1])
    outside = np.minimum(xy_px, farthest - xy_px).min(axis=1, initial=np.inf) < edge
    reasons, taken = [], np.empty((0, 2))
    for i, here in enumerate(xy_px):
        if noise[i]:
            reasons.append("noise")
        elif outside[i]:
            reasons.append("edge")
        elif odd[i]:
            reasons.append(odd[i])
        elif len(taken) and np.hypot(*(taken - here).T).min() < apart:
            reasons.append("overlap")
        else:
            reasons.append("")
            taken = np.vstack([taken, here])
    return tuple(reasons)
