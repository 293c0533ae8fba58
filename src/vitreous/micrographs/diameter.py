"""The diameter of the particles, guessed from the micrographs themselves.

Balls of many sizes are looked for. A ball of the size of the particles stands out most from its surroundings: smaller
ones see parts of particles, larger ones their neighbours, too. The measure is the local score
(:func:`vitreous.micrographs.detection.local_score`) of the best peaks, of a number that covers the same share of the
micrograph for all sizes, so that in noise it hardly depends on the size. It does not depend on heights, which grow with
the size wherever ice is uneven.

The ball that fits best is smaller than the widest extent of a particle that is no ball; ``WIDEST`` is the ratio of
ribosomes and of apoferritin.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vitreous.matching.workers import ordered_map
from vitreous.micrographs.cleaning import clean
from vitreous.micrographs.detection import filtered, local_score, scan
from vitreous.micrographs.listing import ListedMicrograph
from vitreous.micrographs.peaks import find_peaks
from vitreous.micrographs.reading import read_micrograph
from vitreous.micrographs.spectra import quiet_noise
from vitreous.micrographs.templates import ball_templates, rotated_bank

__all__ = ["DiameterGuess", "guess_diameter"]

LOOKED_AT = 6  # micrographs, spread over the list
SIZES_A = tuple(70.0 * 1.15**i for i in range(15))
PIXEL_A = 8.0  # of the images that are searched
DETAIL = 2.0  # of the filters, as for picking with a ball
NOISE_A = 200.0  # patches that the noise is measured in
COVERED = 0.15  # squares of the diameter per peak that counts: the share of the area
FEWEST = 5  # peaks
APART, EDGE = 0.8, 0.5  # diameters between peaks, and to the edge
WIDEST = 1.1  # diameter over that of the best ball
CLEAR = 0.2  # by which the best size stands out from the middle of all, to be believed


@dataclass(frozen=True, kw_only=True)
class DiameterGuess:
    """What the micrographs say about the diameter."""

    diameter_A: float
    sure: bool
    sizes_A: tuple[float, ...]  # of the balls
    score: tuple[float, ...]  # of each, the mean over the micrographs
    micrographs: int  # that were looked at


def guess_diameter(
    micrographs: Iterable[ListedMicrograph], *, invert: bool = True, ctf: bool = True, threads: int = 1
) -> DiameterGuess:
    """Guess the diameter from some of the micrographs, in Angstrom; those that cannot be read are passed over.

    Raises ValueError, with what is wrong with the first, where none can be used.
    """
    listed = list(micrographs)
    wrong = ""
    chosen = [listed[i] for i in _spread(len(listed))]
    found = []
    for curve in ordered_map(lambda one: _scores(one, invert, ctf), chosen, threads):
        if isinstance(curve, str):
            wrong = wrong or curve
        else:
            found.append(curve)
    if not found:
        raise ValueError(f"the diameter cannot be guessed: none of {len(chosen)} micrographs can be used: {wrong}")
    mean = np.mean(found, axis=0)
    best = int(mean.argmax())
    inside = 0 < best < len(mean) - 1
    step = _vertex(*mean[best - 1 : best + 2]) if inside else 0.0
    diameter = WIDEST * SIZES_A[best] * (SIZES_A[1] / SIZES_A[0]) ** step
    return DiameterGuess(
        diameter_A=float(f"{diameter:.2g}"),
        sure=inside and bool(mean[best] - np.median(mean) >= CLEAR),
        sizes_A=SIZES_A,
        score=tuple(mean.tolist()),
        micrographs=len(found),
    )


def _spread(n: int) -> list[int]:
    return np.unique(np.linspace(0, n - 1, min(n, LOOKED_AT)).astype(int)).tolist()


def _scores(listed: ListedMicrograph, invert: bool, ctf: bool) -> np.ndarray | str:
    """Of all sizes, (len(SIZES_A),); or why the micrograph cannot be used."""
    try:
        micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
    except (ValueError, OSError) as error:
        return str(error)
    working_A = max(PIXEL_A, micrograph.pixel_size_A)
    image = clean(micrograph.data, micrograph.pixel_size_A, working_A, invert=invert)
    pixel_A = image.pixel_size_A
    noise = quiet_noise(image.data, NOISE_A / pixel_A)
    scores = []
    for size_A in SIZES_A:
        diameter_px = size_A / pixel_A
        bank = rotated_bank(ball_templates(size_A, pixel_A), 1, pixel_A, size_A)
        if min(image.data.shape) < 2 * bank.filters.shape[1]:
            return f"{listed.path}: too small to guess the diameter from"
        ready = filtered(image.data, bank, noise, listed.ctf if ctf else None, detail=DETAIL, whiten=True)
        highest = scan(ready, bank).highest
        peaks = find_peaks(highest, APART * diameter_px, 2.0)
        inner = np.minimum(peaks, np.array(highest.shape) - 1 - peaks).min(axis=1) > EDGE * diameter_px
        heights = np.sort(local_score(highest, diameter_px)[tuple(peaks[inner].T)])[::-1]
        count = max(FEWEST, int(COVERED * highest.size / diameter_px**2))
        scores.append(float(heights[:count].mean()) if len(heights) else 0.0)
    return np.array(scores)


def _vertex(before: float, at: float, after: float) -> float:
    """Where the parabola through three values has its maximum, from the middle one, in steps."""
    bend = before - 2.0 * at + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
