"""The same image more than once: under the same name, with the same pixels, or of the same place in a micrograph."""

from collections.abc import Sequence

import numpy as np

from vitreous.particles.image_survey import Survey
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.plausible import POSE_COLUMNS, numbers_of
from vitreous.particles.usable import Fault

__all__ = ["equal_images", "equal_names", "groups_of_equal", "repeated"]


def equal_names(particles: ParticleSet) -> tuple[tuple[int, ...], ...]:
    """Groups of particles with the same rlnImageName."""
    return groups_of_equal(_image_key(particles))


def equal_images(particles: ParticleSet, survey: Survey) -> tuple[tuple[int, ...], ...]:
    """Groups with equal pixels; the same image listed twice counts once, and broken images are not compared."""
    rows, digest = survey.rows[survey.good], survey.digest[survey.good]
    _, first = np.unique(_image_key(particles)[rows], return_index=True)
    return tuple(tuple(int(rows[first][i]) for i in group) for group in groups_of_equal(digest[first]))


def repeated(particles: ParticleSet, survey: Survey | None, usable: np.ndarray, *, poses: bool) -> list[Fault]:
    """The usable particles that repeat another one; the first of every group stays.

    poses: images may be listed several times in different poses, as a symmetry expansion does.
    """
    rows = np.flatnonzero(usable)
    seen = np.zeros(len(particles), dtype=bool)
    faults = []
    for kind, keys in (
        ("that repeat the image of another", [_image_key(particles)]),
        ("whose pixels are those of another", None if survey is None else [_pixels(particles, survey)]),
        ("of the same place in a micrograph as another", _place(particles)),
    ):
        if keys is None:
            continue
        left = rows[~seen[rows]]
        extra = [values for name in POSE_COLUMNS if poses and (values := numbers_of(particles, name)) is not None]
        later = _later(left, [*keys, *extra])
        if kind.startswith("of the same place") and 2 * len(later) > len(left):
            continue  # coordinates of nothing: a column of zeros, say
        seen[later] = True
        if len(later):
            faults.append(Fault(kind=kind, rows=later, advice="the first one is kept"))
    return faults


def groups_of_equal(values: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Positions of values that occur more than once, grouped.

    >>> groups_of_equal(np.array([5, 7, 5, 5, 8]))
    ((0, 2, 3),)
    """
    order = np.argsort(values, kind="stable")
    edges = np.flatnonzero(np.diff(values[order]) != 0) + 1 if len(values) else np.array([], dtype=np.int64)
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(values)]])
    many = ends - starts > 1
    return tuple(tuple(order[a:b].tolist()) for a, b in zip(starts[many], ends[many], strict=True))


def _image_key(particles: ParticleSet) -> np.ndarray:
    return particles.images.code * (1 << 40) + particles.images.frame


def _pixels(particles: ParticleSet, survey: Survey) -> np.ndarray:
    """Digest of every particle that was looked at; others have numbers of their own."""
    key = np.arange(len(particles), dtype=np.uint64)
    key[survey.rows[survey.good]] = survey.digest[survey.good]
    return key


def _place(particles: ParticleSet) -> list[np.ndarray] | None:
    coordinates = [numbers_of(particles, f"rlnCoordinate{axis}") for axis in "XY"]
    if "rlnMicrographName" not in particles.table or any(values is None for values in coordinates):
        return None
    x, y = (np.asarray(values) for values in coordinates)
    own = np.where(np.isfinite(x) & np.isfinite(y), -1, np.arange(len(x)))
    return [particles.micrograph, np.nan_to_num(x), np.nan_to_num(y), own]


def _later(rows: np.ndarray, keys: Sequence[np.ndarray]) -> np.ndarray:
    """Of some rows, those whose keys an earlier one has too."""
    if len(rows) == 0:
        return rows
    order = np.lexsort([rows, *(key[rows] for key in reversed(keys))])
    same = np.ones(len(rows) - 1, dtype=bool)
    for key in keys:
        values = key[rows][order]
        same &= values[1:] == values[:-1]
    return np.sort(rows[order[1:][same]])
