"""One pass over the images of a particle set: what is broken, how they are normalised, which are the same."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from vitreous.conventions import centre_index
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.particle_set import ParticleSet

__all__ = ["Readable", "Survey", "find_readable", "survey_images"]

_BLOCK_BYTES = 1 << 25
_DISC_RADIUS = 0.25  # of the box: most of a particle; smaller discs see only the cavity of a hollow one
_RING_RADIUS = 0.45  # of the box: outside nearly every particle


@dataclass(frozen=True, kw_only=True, eq=False)
class Readable:
    """Which particles have an image, judged by the headers of the stacks alone."""

    mask: np.ndarray  # (n,) bool: the file is there, has the right box and contains the image
    beyond_stack: np.ndarray  # indices of particles whose image number exceeds the stack
    unreadable: np.ndarray  # indices of particles whose file is missing or malformed or has another box
    messages: tuple[str, ...]  # what is wrong with the files that cannot be used


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """Figures of the images that were looked at (m of them)."""

    rows: np.ndarray  # (m,) particle indices
    finite: np.ndarray  # (m,) bool: no NaN, no infinity
    constant: np.ndarray  # (m,) bool: all pixels equal
    disc_mean: np.ndarray  # (m,) mean within 0.25 boxes of the centre
    ring_mean: np.ndarray  # (m,) mean beyond 0.45 boxes from the centre: the background
    ring_sd: np.ndarray  # (m,)
    digest: np.ndarray  # (m,) uint64 hash of the pixels

    @property
    def good(self) -> np.ndarray:
        """(m,) bool: finite and not constant."""
        return self.finite & ~self.constant


def find_readable(particles: ParticleSet) -> Readable:
    """Open every stack once and say which particles have an image; nothing is raised for those that have none."""
    images = particles.images
    messages = _not_found(particles)
    box = _box(particles)
    length = np.zeros(len(images.names), dtype=np.int64)
    for code in np.unique(images.code).tolist():
        if images.paths[code] is None:
            continue
        try:
            stack = images.stack(code)
        except (ParticleFileError, FileNotFoundError) as error:
            messages.append(str(error))
            continue
        if box is not None and stack.box_px != box:
            messages.append(f"{stack.path}: images are {stack.box_px} pixels wide, expected {box}")
            continue
        length[code] = len(stack)
    unreadable = length[images.code] == 0
    beyond = ~unreadable & (images.frame >= length[images.code])
    return Readable(
        mask=~unreadable & ~beyond,
        beyond_stack=np.flatnonzero(beyond),
        unreadable=np.flatnonzero(unreadable),
        messages=tuple(messages),
    )


def survey_images(particles: ParticleSet, rows: np.ndarray) -> Survey:
    """Read the images of the particles ``rows`` (all readable) once, in the order of the files, in bounded memory."""
    rows = rows[np.lexsort((particles.images.frame[rows], particles.images.code[rows]))]
    box = particles.box_px
    disc, ring = _masks(box)
    m = len(rows)
    finite, constant = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
    means = np.zeros((3, m))
    digest = np.zeros(m, dtype=np.uint64)
    step = max(1, _BLOCK_BYTES // (4 * box * box))
    for start in range(0, m, step):
        part = slice(start, min(m, start + step))
        pixels = particles.read(rows[part]).reshape(-1, box * box)
        finite[part] = np.isfinite(pixels).all(axis=1)
        constant[part] = (pixels == pixels[:, :1]).all(axis=1)
        digest[part] = [int.from_bytes(blake2b(image.tobytes(), digest_size=8).digest(), "little") for image in pixels]
        usable = np.where(finite[part, None], pixels, 0.0).astype(np.float64)
        background = usable[:, ring]
        means[:, part] = usable[:, disc].mean(axis=1), background.mean(axis=1), background.std(axis=1)
    return Survey(
        rows=rows,
        finite=finite,
        constant=constant,
        disc_mean=means[0],
        ring_mean=means[1],
        ring_sd=means[2],
        digest=digest,
    )


def _not_found(particles: ParticleSet) -> list[str]:
    """One sentence for all files that were not found: as a rule the project directory is wrong for every one."""
    images = particles.images
    absent = [images.names[code] for code in np.unique(images.code).tolist() if images.paths[code] is None]
    if not absent:
        return []
    tried = ", ".join(map(str, images.folders))
    return [
        f"{len(absent)} image files were not found, first {absent[0]}; looked in {tried}; give the project directory"
    ]


def _box(particles: ParticleSet) -> int | None:
    try:
        return particles.box_px
    except ParticleFileError:
        return None


def _masks(box: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat masks of the central disc and of the background."""
    axis = (np.arange(box) - centre_index(box)) / box
    radius = np.hypot(axis[:, None], axis[None, :]).reshape(-1)
    return radius <= _DISC_RADIUS, radius >= _RING_RADIUS
