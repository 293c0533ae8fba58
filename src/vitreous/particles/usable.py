"""Which particles of a set can be used, why others cannot, and what is assumed: one value, that goes with the set.

It is made in one place (:func:`vitreous.particles.judge`), by what ``vitreous check`` says, and every job gets it with
its particles: images that cannot be used are read as zeros, which all methods leave out, and pixels that are neither
noise nor particle as background. The table stays as it was read, so that outputs carry every row.
"""

from dataclasses import dataclass, replace

import numpy as np

from vitreous.words import brief

__all__ = ["Background", "Contrast", "Fault", "Usable", "row_numbers"]

_SHOWN = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """A reason for which particles cannot be used: ``kind`` completes "particles ..."; rows: of the table, from 0."""

    kind: str
    rows: np.ndarray
    advice: str = ""  # what is likely, and what to do

    @property
    def words(self) -> str:
        """With the numbers of the particles, from 1.

        >>> Fault(kind="with all pixels equal", rows=np.array([3, 4])).words
        '2 particles with all pixels equal (4, 5)'
        """
        one = len(self.rows) == 1
        advice = f"; {self.advice}" if self.advice else ""
        return f"{len(self.rows):,} particle{'' if one else 's'} {self.kind} ({row_numbers(self.rows)}){advice}"


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """Whether particles are lighter or darker than their surroundings."""

    verdict: str  # "white", "dark" or "unclear"
    difference: float  # mean of (centre - background), in units of the background's standard deviation
    standard_error: float
    images: int


@dataclass(frozen=True, kw_only=True)
class Background:
    """Medians over the images of the mean and standard deviation beyond 0.45 boxes from the centre."""

    mean: float
    sd: float
    normalised_fraction: float  # images with mean within 0.1 of 0 and standard deviation within 0.1 of 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Usable:
    """What is to be used of n particles.

    bad: (n,) bool, particles of weight 0; faults: why, each particle under its first reason; box_px, pixel_size_A:
    those of the images that are used, None where they are unknown; centre, limit: (n,) grey values: pixels farther
    than ``limit`` from ``centre`` are not used (infinite for nearly all images); problems: what keeps a job from
    running; warnings: what is worth knowing of those that can; contrast, background: of the images looked at;
    finest_A: the images hold nothing finer (:mod:`vitreous.particles.finest_detail`), None where nothing was taken from
    them; digest: of their pixels, in hexadecimal.
    """

    __repr__ = brief

    bad: np.ndarray
    faults: tuple[Fault, ...]
    box_px: int | None
    pixel_size_A: float | None
    centre: np.ndarray
    limit: np.ndarray
    images_checked: int
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    contrast: Contrast | None = None
    background: Background | None = None
    finest_A: float | None = None
    digest: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What is said of the particles that are left out, and of those that are mended; one sentence each."""
        left = [f"{fault.words}: not used" for fault in self.faults if len(fault.rows)]
        mended = np.flatnonzero(np.isfinite(self.limit) & ~self.bad)
        if len(mended):
            what = Fault(kind="with pixels that neither noise nor particles have", rows=mended).words
            left.append(f"{what}: these pixels are replaced by the background")
        return tuple(left)

    def take(self, rows: np.ndarray) -> "Usable":
        """That of some particles (indices), in their order."""
        place = np.full(len(self.bad), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        kept = [replace(f, rows=place[f.rows][place[f.rows] >= 0]) for f in self.faults]
        return replace(
            self,
            bad=self.bad[rows],
            faults=tuple(f for f in kept if len(f.rows)),
            centre=self.centre[rows],
            limit=self.limit[rows],
        )

    def mend(self, images: np.ndarray, rows: np.ndarray) -> None:
        """Replace impossible pixels of the images (m, L, L) of particles ``rows`` by their background, in place."""
        for i in np.flatnonzero(np.isfinite(self.limit[rows])).tolist():
            centre, limit = self.centre[rows[i]], self.limit[rows[i]]
            images[i][np.abs(images[i] - centre) > limit] = centre


def row_numbers(rows: np.ndarray | tuple[int, ...]) -> str:
    """Numbers from 1 of some rows, the first eight.

    >>> row_numbers(np.arange(10))
    '1, 2, 3, 4, 5, 6, 7, 8, ...'
    """
    shown = ", ".join(str(int(row) + 1) for row in rows[:_SHOWN])
    return shown if len(rows) <= _SHOWN else f"{shown}, ..."
