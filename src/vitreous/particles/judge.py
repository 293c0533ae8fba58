"""The one place that decides which particles of a set can be used, and whether a job can run at all."""

from dataclasses import replace
from hashlib import blake2b

import numpy as np

from vitreous.particles.copying import HALF, half_precision
from vitreous.particles.duplicates import repeated
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.finest_detail import FinestDetail, finest_detail
from vitreous.particles.holding import require_particles
from vitreous.particles.image_survey import Outliers, Readable, Survey, find_outliers, find_readable, survey_images
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.plausible import (
    POSE_COLUMNS,
    SHIFT_COLUMNS,
    implausible_optics,
    implausible_poses,
    numbers_of,
    unused_aberrations,
)
from vitreous.particles.usable import Background, Contrast, Fault, Usable

__all__ = ["judge", "judged", "look"]

MOST_UNUSABLE = 0.5  # share of the particles: more, and something is wrong with the set and not with particles
_CERTAIN = 5.0  # standard errors before a contrast is called white or dark
_SHOWN = 8
_WINSOR = 5.0  # MADs from the median beyond which a contrast counts as that far
_FEWEST_SPECTRA, _MOST_SPECTRA, _PIXELS_OF_SPECTRA = 16, 256, 1 << 22  # images whose spectrum is looked at
_OTHER_SCALE = 20.0  # background of a normalised set that many times larger or smaller than the typical one


def judge(
    particles: ParticleSet, *, ctf: bool = True, poses: bool = True, sample: int | None = None, seed: int = 0
) -> Usable:
    """Look at the table, the headers of all stacks, and the pixels of all (or ``sample`` randomly chosen) images.

    ctf, poses: whether optics, and angles and shifts, are used, so that faults of theirs matter. Nothing is raised for
    a fault of the data. Images are streamed; memory does not grow with their size.
    """
    return look(particles, ctf=ctf, poses=poses, sample=sample, seed=seed)[0]


def judged(particles: ParticleSet, *, ctf: bool = True, poses: bool = True) -> ParticleSet:
    """The set with what can be used of it (``usable``); one that has been judged before stays as it is.

    Raises ParticleFileError when a job could not run: nothing can be used, more than half of the particles cannot, or
    box and pixel size are unknown; TypeError for what is no set of particles.
    """
    require_particles(particles)
    if getattr(particles, "usable", None) is not None or not hasattr(particles, "table"):
        return particles  # judged before, or made in memory, where there is neither file nor table
    usable = judge(particles, ctf=ctf, poses=poses)
    if usable.problems:
        seen = usable.images_checked > 0
        why = () if seen else (*usable.warnings[:1], *(f.words for f in usable.faults if len(f.rows)))
        raise ParticleFileError(
            f"{particles.path}: {'; '.join(_without_path(particles, text) for text in (*usable.problems, *why))}"
        )
    return replace(particles, usable=usable)


def look(
    particles: ParticleSet, *, ctf: bool = True, poses: bool = True, sample: int | None = None, seed: int = 0
) -> tuple[Usable, Readable, Survey | None]:
    """:func:`judge`, with what it looked at."""
    readable = find_readable(particles)
    problems, pixel = _problems(particles, readable, poses=poses)
    box = readable.box_px
    rows = np.flatnonzero(readable.mask) if box is not None else np.array([], dtype=np.int64)
    if sample is not None and sample < len(rows):
        rows = np.random.default_rng(seed).choice(rows, size=sample, replace=False)
    survey = survey_images(particles, rows, box) if len(rows) and box is not None else None
    outliers = None if survey is None or box is None else find_outliers(particles, survey, box)
    faults = _image_faults(readable, survey, outliers)
    if ctf and particles.has_ctf:
        faults += implausible_optics(particles)
    if poses and box is not None and pixel is not None:
        known = replace(particles, usable=_blank(len(particles), box, pixel))
        faults += implausible_poses(known)
    faults = _under_first_reason(faults, len(particles))
    bad = _rows_of(faults, len(particles))
    problems += _too_many(faults, bad, survey, readable)
    faults += repeated(particles, survey, ~bad & readable.mask, poses=poses)
    bad = _rows_of(faults, len(particles))
    typical = None if survey is None else survey.good & ~np.isin(survey.rows, _odd(outliers))
    usable = _blank(len(particles), box, pixel)
    if outliers is not None:
        usable.centre[outliers.spots], usable.limit[outliers.spots] = outliers.centre, outliers.limit
    contrast = None if survey is None or typical is None else _contrast(survey, typical)
    detail = None if survey is None or typical is None else _detail(particles, survey.rows[typical], box, pixel)
    usable = replace(
        usable,
        bad=bad,
        faults=tuple(faults),
        images_checked=len(rows),
        warnings=(*_warnings(particles, readable, contrast, pixel), *(() if detail is None else (detail.words,))),
        problems=tuple(problems),
        contrast=contrast,
        background=None if survey is None else _background(survey),
        finest_A=None if detail is None else detail.finest_A,
        digest="" if survey is None else _digest(survey),
    )
    return usable, readable, survey


def _blank(n: int, box: int | None, pixel: float | None) -> Usable:
    return Usable(
        bad=np.zeros(n, dtype=bool),
        faults=(),
        box_px=box,
        pixel_size_A=pixel,
        centre=np.zeros(n, dtype=np.float32),
        limit=np.full(n, np.inf, dtype=np.float32),
        images_checked=0,
    )


def _problems(particles: ParticleSet, readable: Readable, *, poses: bool) -> tuple[list[str], float | None]:
    problems: list[str] = []
    pixel: float | None = None
    if not readable.mask.any():
        problems.append("no particle has a readable image")
    try:
        box = readable.box_px if readable.box_px is not None else particles.box_px
        pixel = replace(particles, usable=_blank(len(particles), box, None)).pixel_size_A
    except ParticleFileError as error:
        problems.append(str(error))
    try:
        _ = particles.has_ctf and particles.ctf
    except ParticleFileError as error:
        problems.append(str(error))
    for name in (*POSE_COLUMNS, *SHIFT_COLUMNS) if poses else ():
        try:
            _ = name in particles.table and particles.table.numbers(name)
        except ParticleFileError as error:
            problems.append(str(error))
    dimension = numbers_of(particles, "rlnImageDimensionality")
    if dimension is not None and (dimension == 3).any():
        problems.append("these are subtomograms (rlnImageDimensionality 3); particles are two-dimensional images here")
    stacks = [t for t in particles.blocks.values() if "rlnTomoSubTomosAre2DStacks" in t]
    if any((t.numbers("rlnTomoSubTomosAre2DStacks") != 0).any() for t in stacks) and particles.has("rlnTomoName"):
        problems.append("these are stacks of tilted views (rlnTomoSubTomosAre2DStacks); single images are used here")
    return problems, pixel


def _image_faults(readable: Readable, survey: Survey | None, outliers: Outliers | None) -> list[Fault]:
    none = np.array([], dtype=np.int64)
    unreadable = readable.unreadable
    if survey is not None:
        unreadable = np.union1d(unreadable, survey.rows[~survey.readable])
    return [
        Fault(kind="without a readable image", rows=unreadable),
        Fault(kind="with images of another box", rows=readable.other_box),
        Fault(kind="beyond the end of their stack", rows=readable.beyond_stack),
        Fault(kind="with NaN or infinite pixels", rows=none if survey is None else survey.rows[~survey.finite]),
        Fault(
            kind="with all pixels equal",
            rows=none if survey is None else survey.rows[survey.constant & survey.finite & survey.readable],
        ),
        Fault(kind="that are saturated", rows=none if outliers is None else outliers.saturated),
        Fault(kind="far stronger than all others", rows=none if outliers is None else outliers.strong),
        Fault(kind="on another scale than all others", rows=none if survey is None else _other_scale(survey)),
    ]


def _other_scale(survey: Survey) -> np.ndarray:
    """Images of a set that is normalised whose own background, but for a few pixels, is far from it."""
    good = survey.good & (survey.spread > 0)
    if not good.any():
        return np.array([], dtype=np.int64)
    with np.errstate(divide="ignore"):
        size = np.abs(np.log(survey.spread / np.median(survey.spread[good])))
    normalised = (np.abs(survey.ring_sd[good] - 1) < 0.1).mean() > 0.9
    return survey.rows[good & normalised & (size > np.log(_OTHER_SCALE))]


def _too_many(faults: list[Fault], bad: np.ndarray, survey: Survey | None, readable: Readable) -> list[str]:
    """Why a job cannot run, although there are images."""
    if not readable.mask.any() or bad.mean() <= MOST_UNUSABLE:
        return []
    everything = survey is not None and len(survey.rows) == np.count_nonzero(readable.mask)
    if everything and survey is not None and not survey.good.any():
        return ["every image is constant or holds values that are not finite"]
    reasons = "; ".join(f.words for f in sorted(faults, key=lambda f: -len(f.rows)) if len(f.rows))
    return [
        f"{int(bad.sum()):,} of {len(bad):,} particles cannot be used, more than half, so something is wrong with all "
        f"of them: {reasons}"
    ]


def _under_first_reason(faults: list[Fault], n: int) -> list[Fault]:
    seen, out = np.zeros(n, dtype=bool), []
    for fault in faults:
        rows = np.sort(fault.rows[~seen[fault.rows]])
        seen[rows] = True
        out.append(replace(fault, rows=rows))
    return out


def _rows_of(faults: list[Fault], n: int) -> np.ndarray:
    bad = np.zeros(n, dtype=bool)
    for fault in faults:
        bad[fault.rows] = True
    return bad


def _odd(outliers: Outliers | None) -> np.ndarray:
    if outliers is None:
        return np.array([], dtype=np.int64)
    return np.concatenate([outliers.spots, outliers.strong, outliers.saturated])


def _warnings(particles: ParticleSet, readable: Readable, contrast: Contrast | None, pixel: float | None) -> list[str]:
    warnings = list(readable.messages[:_SHOWN])
    if len(readable.messages) > _SHOWN:
        warnings.append(f"{len(readable.messages) - _SHOWN} more image files cannot be read")
    if contrast is not None and contrast.verdict == "dark":
        warnings.append("particles seem to be dark on light; methods expect them white: invert the contrast")
    for column, text in (
        ("rlnCtfDataAreCtfPremultiplied", "images are premultiplied by their CTF"),
        ("rlnCtfDataArePhaseFlipped", "the phases of the images were flipped"),
    ):
        flag = numbers_of(particles, column)
        if flag is not None and (flag > 0).any():
            warnings.append(f"{text} ({column})")
    header = _header_pixel(particles)
    if pixel is not None and header not in (0.0, 1.0) and abs(header - pixel) > 0.01 * pixel:
        warnings.append(f"the table says {pixel:g} A/pixel, the header of the first readable stack {header:g}")
    if pixel == 1.0 and particles.path.suffix.lower() not in (".star", ".cs"):
        warnings.append("the header says 1 A/pixel, which programs write where they do not know; --angpix says better")
    if half_precision(particles):
        warnings.append(f"{HALF}; `vitreous copy` writes them as float32")
    sizes = numbers_of(particles, "rlnImagePixelSize")
    if pixel is not None and sizes is not None and np.ptp(sizes) > 1e-4 * pixel:
        warnings.append(f"pixel sizes from {sizes.min():g} to {sizes.max():g} A are taken as {pixel:g} A, their mean")
    return [*particles.notes, *warnings, *unused_aberrations(particles)]


def _header_pixel(particles: ParticleSet) -> float:
    for code in np.unique(particles.images.code).tolist()[:_SHOWN]:
        try:
            return particles.images.stack(code).header.pixel_size_A
        except (ParticleFileError, OSError):
            continue
    return 0.0


def _contrast(survey: Survey, typical: np.ndarray) -> Contrast | None:
    """Centre against background, per image in units of its own background, averaged over images.

    Phase contrast suppresses the lowest frequencies, so the difference is small and its sign only certain over many
    images: five standard errors are asked for. No single image counts for more than five median absolute deviations.
    """
    use = typical & (survey.ring_sd > 0)
    count = int(np.count_nonzero(use))
    if count < 2:
        return None
    difference = (survey.disc_mean[use] - survey.ring_mean[use]) / survey.ring_sd[use]
    middle = np.median(difference)
    reach = _WINSOR * np.median(np.abs(difference - middle))
    if reach > 0:
        difference = np.clip(difference, middle - reach, middle + reach)
    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(count))
    verdict = "unclear" if abs(mean) < _CERTAIN * error or mean == 0 else "white" if mean > 0 else "dark"
    return Contrast(verdict=verdict, difference=mean, standard_error=error, images=count)


def _detail(particles: ParticleSet, rows: np.ndarray, box: int | None, pixel: float | None) -> FinestDetail | None:
    """What some of the images hold, spread over the set; so few that they take as long as a few hundred small ones."""
    if box is None or pixel is None or len(rows) == 0:
        return None
    count = min(len(rows), max(_FEWEST_SPECTRA, min(_MOST_SPECTRA, _PIXELS_OF_SPECTRA // box**2)))
    rows = np.sort(rows)[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
    return finest_detail(particles.images.read(np.unique(rows), box, particles.table.where), pixel)


def _background(survey: Survey) -> Background | None:
    mean, sd = survey.ring_mean[survey.good], survey.ring_sd[survey.good]
    if len(mean) == 0:
        return None
    normalised = (np.abs(mean) < 0.1) & (np.abs(sd - 1) < 0.1)
    return Background(
        mean=float(np.median(mean)), sd=float(np.median(sd)), normalised_fraction=float(normalised.mean())
    )


def _digest(survey: Survey) -> str:
    order = np.argsort(survey.rows)
    return blake2b(survey.rows[order].tobytes() + survey.digest[order].tobytes(), digest_size=16).hexdigest()


def _without_path(particles: ParticleSet, text: str) -> str:
    return text.removeprefix(f"{particles.path}: ")
