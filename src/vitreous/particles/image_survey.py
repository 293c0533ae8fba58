"""One pass over the images of a particle set: what is broken, how they are normalised, which are the same.

Outliers. Noise and particles have pixels within some multiple of the background's standard deviation, and what multiple
is typical a set says itself: the peak of image i in units of its own background, z_i = max |x - median| / (1.4826 MAD),
has a lower quartile over the set that no few bad images move. A pixel that exceeds three times that, and five times
what all but a few lines of pixels of its own image reach, is neither noise nor particle: a hot pixel, a cosmic ray, a
dead line. It is replaced by the background. An image whose peak is far beyond all others and is not such an isolated
spot is not used at all.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from vitreous.conventions import centre_index
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.mrc_header import MAX_SIDE
from vitreous.particles.particle_set import ParticleSet

__all__ = ["Outliers", "Readable", "Survey", "find_outliers", "find_readable", "survey_images"]

_BLOCK_BYTES = 1 << 23
_DISC_RADIUS = 0.25  # of the box: most of a particle; smaller discs see only the cavity of a hollow one
_RING_RADIUS = 0.45  # of the box: outside nearly every particle
_BACKGROUND_PIXELS = 256  # of which median and MAD are taken
_SD_PER_MAD = 1.4826
_PEAK_FACTOR, _LEAST_PEAK = 3.0, 9.0  # times the set's typical peak; in background standard deviations at least
_LINES, _LINE_FACTOR = 3, 5.0  # an isolated spot is less than three lines of pixels, and five times all others
_NOISY_PEAK = 8.0  # typical peak below which single images are noise, nothing else
_STRONG_NOISY, _STRONG = 5.0, 30.0  # times the typical peak: no image of such a set, or of any set, is that strong
_SATURATED = 0.1  # of the pixels at one extreme value, where that is not typical


@dataclass(frozen=True, kw_only=True)
class Readable:
    """Which particles have an image, judged by the headers of the stacks alone."""

    mask: np.ndarray  # (n,) bool: the file is there, has the right box and contains the image
    beyond_stack: np.ndarray  # indices of particles whose image number exceeds the stack
    unreadable: np.ndarray  # indices of particles whose file is missing or malformed
    other_box: np.ndarray  # indices of particles whose images have another box than most
    box_px: int | None  # side of the images that can be used
    messages: tuple[str, ...]  # what is wrong with the files that cannot be used


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """Figures of the images that were looked at (m of them)."""

    rows: np.ndarray  # (m,) particle indices
    readable: np.ndarray  # (m,) bool: the pixels could be read
    finite: np.ndarray  # (m,) bool: no NaN, no infinity
    constant: np.ndarray  # (m,) bool: all pixels equal
    disc_mean: np.ndarray  # (m,) mean within 0.25 boxes of the centre
    ring_mean: np.ndarray  # (m,) mean beyond 0.45 boxes from the centre: the background
    ring_sd: np.ndarray  # (m,)
    centre: np.ndarray  # (m,) median of the background
    spread: np.ndarray  # (m,) standard deviation of the background from its median absolute deviation
    peak: np.ndarray  # (m,) largest distance of a pixel from `centre`
    extreme: np.ndarray  # (m,) share of the pixels that have the largest, or the smallest, value
    digest: np.ndarray  # (m,) uint64 hash of the pixels

    @property
    def good(self) -> np.ndarray:
        """(m,) bool: read, finite and not constant."""
        return self.readable & self.finite & ~self.constant


@dataclass(frozen=True, kw_only=True, eq=False)
class Outliers:
    """What is wrong with the pixels of some images. All are indices of particles, ascending.

    spots: with some pixels that neither noise nor particles have; centre, limit: (len(spots),) such pixels are those
    farther than ``limit`` from ``centre``; strong: as a whole beyond all others; saturated: at the end of their scale.
    """

    spots: np.ndarray
    centre: np.ndarray
    limit: np.ndarray
    strong: np.ndarray
    saturated: np.ndarray


def find_readable(particles: ParticleSet) -> Readable:
    """Open every stack once and say which particles have an image; nothing is raised for those that have none.

    The box is that of most particles, by ``rlnImageSize`` where the table has it.
    """
    images = particles.images
    messages = _not_found(particles)
    codes, population = np.unique(images.code, return_counts=True)
    length, side = np.zeros((2, len(images.names)), dtype=np.int64)
    for code in codes.tolist():
        if images.paths[code] is None:
            continue
        try:
            stack = images.stack(code)
        except (ParticleFileError, OSError) as error:
            messages.append(str(error))
            continue
        if stack.header.is_volume and not images.frame[images.code == code].any():
            messages.append(f"{stack.path}: a map of {stack.box_px} cubed voxels by its header; expected images")
            continue
        length[code], side[code] = len(stack), stack.box_px
    box = _box(particles, side[codes], population)
    if box is not None:
        for code in codes[(side[codes] != box) & (side[codes] > 0)].tolist():
            messages.append(f"{images.paths[code]}: images are {side[code]} pixels wide, expected {box}")
    unreadable = length[images.code] == 0
    other = ~unreadable & (side[images.code] != (side[images.code] if box is None else box))
    beyond = ~unreadable & ~other & (images.frame >= length[images.code])
    return Readable(
        mask=~unreadable & ~beyond & ~other,
        beyond_stack=np.flatnonzero(beyond),
        unreadable=np.flatnonzero(unreadable),
        other_box=np.flatnonzero(other),
        box_px=box,
        messages=tuple(messages),
    )


def survey_images(particles: ParticleSet, rows: np.ndarray, box: int) -> Survey:
    """Read the images of the particles ``rows`` (all readable) once, in the order of the files, in bounded memory."""
    rows = rows[np.lexsort((particles.images.frame[rows], particles.images.code[rows]))]
    masks = _masks(box)
    step = max(1, _BLOCK_BYTES // (4 * box * box))
    blocks = [_look_at(particles, rows[start : start + step], box, *masks) for start in range(0, len(rows), step)]
    figures = {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}
    return Survey(rows=rows, **figures)


def find_outliers(particles: ParticleSet, survey: Survey, box: int) -> Outliers:
    """Images that do not belong to the set, by their own pixels and by what is typical (see the module)."""
    use = survey.good & (survey.spread > 0)
    none = np.array([], dtype=np.int64)
    if not use.any():
        return Outliers(spots=none, centre=none, limit=none, strong=none, saturated=none)
    z = np.zeros(len(survey.rows))
    z[use] = survey.peak[use] / survey.spread[use]
    typical = float(np.quantile(z[use], 0.25))
    factor = max(_PEAK_FACTOR * typical, _LEAST_PEAK)
    spots, centre, limit, isolated = [], [], [], np.zeros(len(z), dtype=bool)
    for i in np.flatnonzero(z > factor).tolist():
        row = survey.rows[i : i + 1]
        away = np.abs(particles.images.read(row, box, particles.table.where) - survey.centre[i]).reshape(-1)
        others = min(_LINES * box, len(away))
        rest = float(np.partition(away, -others)[-others])
        bound = max(factor * float(survey.spread[i]), _LINE_FACTOR * rest)
        if survey.peak[i] > bound:
            isolated[i] = True
            spots.append(int(row[0]))
            centre.append(float(survey.centre[i]))
            limit.append(bound)
    most = _STRONG_NOISY if typical < _NOISY_PEAK else _STRONG
    strong = ~isolated & (z > max(most * typical, _LEAST_PEAK))
    usual = float(np.median(survey.extreme[survey.good]))
    saturated = survey.good & (survey.extreme > _SATURATED) & (usual < _SATURATED / 2) & ~isolated
    order = np.argsort(spots)
    return Outliers(
        spots=np.array(spots, dtype=np.int64)[order],
        centre=np.array(centre)[order],
        limit=np.array(limit)[order],
        strong=np.sort(survey.rows[strong & ~saturated]),
        saturated=np.sort(survey.rows[saturated]),
    )


def _look_at(
    particles: ParticleSet, rows: np.ndarray, box: int, disc: np.ndarray, ring: np.ndarray, sample: np.ndarray
) -> dict[str, np.ndarray]:
    """Figures of some images."""
    pixels, readable = _read(particles, rows, box)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    finite = np.isfinite(low) & np.isfinite(high)
    digest = [int.from_bytes(blake2b(image.data, digest_size=8).digest(), "little") for image in pixels]
    extreme = np.maximum((pixels == high[:, None]).mean(axis=1), (pixels == low[:, None]).mean(axis=1))
    first = np.where(finite, pixels[:, 0], 0)
    pixels[~finite] = 0
    background = pixels[:, sample]
    centre = np.median(background, axis=1)
    spread = _SD_PER_MAD * np.median(np.abs(background - centre[:, None]), axis=1)
    pixels -= first[:, None]  # large offsets cost no precision
    outside = pixels[:, ring]
    ring_mean = outside.mean(axis=1, dtype=np.float64)
    outside -= ring_mean[:, None].astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        ring_sd = np.sqrt(np.einsum("ij,ij->i", outside, outside, dtype=np.float64) / outside.shape[1])
        peak = np.maximum(high.astype(np.float64) - centre, centre.astype(np.float64) - low)
    return {
        "readable": readable,
        "finite": finite,
        "constant": low == high,
        "disc_mean": pixels[:, disc].mean(axis=1, dtype=np.float64) + first,
        "ring_mean": ring_mean + first,
        "ring_sd": ring_sd,
        "centre": centre.astype(np.float64),
        "spread": spread.astype(np.float64),
        "peak": np.where(finite, peak, 0.0),
        "extreme": extreme,
        "digest": np.array(digest, dtype=np.uint64),
    }


def _read(particles: ParticleSet, rows: np.ndarray, box: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (m, L^2) and which images could be read; a fault of the disk concerns one image, not all."""
    images, where = particles.images, particles.table.where
    try:
        return images.read(rows, box, where).reshape(len(rows), -1), np.ones(len(rows), dtype=bool)
    except (ParticleFileError, OSError):
        pixels, readable = np.zeros((len(rows), box * box), dtype=np.float32), np.zeros(len(rows), dtype=bool)
    for i in range(len(rows)):
        try:
            pixels[i] = images.read(rows[i : i + 1], box, where).reshape(-1)
        except (ParticleFileError, OSError):
            continue
        readable[i] = True
    return pixels, readable


def _not_found(particles: ParticleSet) -> list[str]:
    """One sentence for all files that were not found: as a rule the project directory is wrong for every one."""
    images = particles.images
    absent = [images.names[code] for code in np.unique(images.code).tolist() if images.paths[code] is None]
    if not absent:
        return []
    tried = ", ".join(map(str, images.folders))
    return [
        f"{len(absent)} image files were not found, first {absent[0]}; looked in {tried}; "
        "give the project directory (--project)"
    ]


def _box(particles: ParticleSet, sides: np.ndarray, population: np.ndarray) -> int | None:
    """What the table says of most particles, or else the headers."""
    try:
        stated = particles.parameter("rlnImageSize")
    except ParticleFileError:
        return None
    if stated is not None:
        sides, population = np.unique(stated, return_counts=True)
    found = (sides >= 1) & (sides <= MAX_SIDE) & (sides == np.floor(sides))
    if not found.any():
        return None
    sizes, group = np.unique(sides[found], return_inverse=True)
    return int(sizes[np.bincount(group.reshape(-1), population[found]).argmax()])


def _masks(box: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the pixels of the central disc, of the background, and of a part of the background."""
    axis = (np.arange(box) - centre_index(box)) / box
    radius = np.hypot(axis[:, None], axis[None, :]).reshape(-1)
    ring = np.flatnonzero(radius >= min(_RING_RADIUS, radius.max()))  # a single pixel has no border
    chosen = np.unique(np.linspace(0, len(ring) - 1, min(len(ring), _BACKGROUND_PIXELS)).astype(int))
    return np.flatnonzero(radius <= _DISC_RADIUS), ring, ring[chosen]
