"""What is in a particle file, what is missing, what will be assumed, and which particles are bad."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.image_survey import Readable, Survey, find_readable, survey_images
from vitreous.particles.particle_set import ParticleSet

__all__ = ["Background", "CheckReport", "Contrast", "check_particles"]

_CERTAIN = 5.0  # standard errors before a contrast is called white or dark
_SHOWN = 8


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


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """Everything that ``vitreous check`` says. Particles are numbered from 0 here and from 1 in ``lines()``."""

    path: str
    particles: int
    files: int
    micrographs: int
    optics_groups: int
    box_px: int | None
    pixel_size_A: float | None
    defocus_range_A: tuple[float, float] | None
    columns: tuple[str, ...]
    other_blocks: tuple[str, ...]
    missing: tuple[str, ...]  # columns that are not there, with what they would be used for
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[str, ...]  # what keeps a job from running
    images_checked: int
    bad: dict[str, tuple[int, ...]]  # kind of fault -> particles
    duplicate_names: tuple[tuple[int, ...], ...]  # groups of particles with the same rlnImageName
    duplicate_images: tuple[tuple[int, ...], ...]  # groups of particles with the same pixels under different names
    contrast: Contrast | None
    background: Background | None

    @property
    def can_run(self) -> bool:
        """False only where a job could not run at all."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"can_run": self.can_run}

    def lines(self) -> list[str]:
        """The report as text, one finding per line."""
        return [
            *self._contents(),
            *(f"missing: {text}" for text in self.missing),
            *(f"assumed: {text}" for text in self.assumptions),
            *self._images(),
            *(f"warning: {text}" for text in self.warnings),
            *(f"problem: {text}" for text in self.problems),
            "a job can run" if self.can_run else "a job cannot run",
        ]

    def _contents(self) -> list[str]:
        box = "unknown box" if self.box_px is None else f"{self.box_px} x {self.box_px} pixels"
        pixel = "unknown pixel size" if self.pixel_size_A is None else f"{self.pixel_size_A:g} A/pixel"
        lines = [
            f"{self.path}: {self.particles} particles, {box}, {pixel}",
            f"{self.files} image files, {self.micrographs} micrographs, {self.optics_groups} optics groups",
            f"columns: {', '.join(self.columns)}",
        ]
        if self.other_blocks:
            lines.append(f"other tables, kept as they are: {', '.join(self.other_blocks)}")
        if self.defocus_range_A is not None:
            lines.append(f"defocus {self.defocus_range_A[0]:.0f} to {self.defocus_range_A[1]:.0f} A")
        return lines

    def _images(self) -> list[str]:
        lines = [f"images looked at: {self.images_checked} of {self.particles}"]
        for kind, rows in self.bad.items():
            if rows:
                lines.append(f"bad: {len(rows)} {kind}: particles {_numbers(rows)}")
        for what, groups in (("image name", self.duplicate_names), ("pixels", self.duplicate_images)):
            if groups:
                count = sum(len(g) - 1 for g in groups)
                lines.append(f"duplicates: {count} particles repeat the {what} of another, first {_numbers(groups[0])}")
        if self.contrast is not None:
            c = self.contrast
            lines.append(
                f"contrast: particles are {c.verdict}: centre - background = {c.difference:+.3f} +- "
                f"{c.standard_error:.3f} background standard deviations over {c.images} images"
            )
        if self.background is not None:
            b = self.background
            lines.append(
                f"background: mean {b.mean:.3g}, standard deviation {b.sd:.3g} (medians); "
                f"{100 * b.normalised_fraction:.0f} % of the images are normalised to 0 and 1"
            )
        return lines


def check_particles(particles: ParticleSet, *, sample: int | None = None, seed: int = 0) -> CheckReport:
    """Look at the table, the headers of all stacks, and the pixels of all (or ``sample`` randomly chosen) images.

    Images are streamed; memory does not grow with their number. Nothing is raised for a fault of the data: it is in
    the report.
    """
    readable = find_readable(particles)
    problems, box, pixel = _problems(particles, readable)
    rows = np.flatnonzero(readable.mask) if box is not None else np.array([], dtype=np.int64)
    if sample is not None and sample < len(rows):
        rows = np.random.default_rng(seed).choice(rows, size=sample, replace=False)
    survey = survey_images(particles, rows) if len(rows) else None
    bad = _bad(particles, readable, survey)
    if survey is not None and len(rows) == np.count_nonzero(readable.mask) and not survey.good.any():
        problems.append("every image is constant or holds values that are not finite")
    contrast, background = (_contrast(survey), _background(survey)) if survey is not None else (None, None)
    return CheckReport(
        path=str(particles.path),
        particles=len(particles),
        files=len(np.unique(particles.images.code)),
        micrographs=len(np.unique(particles.micrograph)),
        optics_groups=len(np.unique(particles.optics_group)),
        box_px=box,
        pixel_size_A=pixel,
        defocus_range_A=_defocus_range(particles),
        columns=particles.table.names,
        other_blocks=tuple(particles.blocks),
        missing=tuple(_missing(particles)),
        assumptions=tuple(_assumptions(particles)),
        warnings=tuple(_warnings(particles, readable, contrast, pixel)),
        problems=tuple(problems),
        images_checked=len(rows),
        bad={kind: tuple(np.sort(rows).tolist()) for kind, rows in bad.items()},
        duplicate_names=_groups(particles.images.code * (1 << 40) + particles.images.frame),
        duplicate_images=() if survey is None else _duplicate_images(particles, survey),
        contrast=contrast,
        background=background,
    )


def _problems(particles: ParticleSet, readable: Readable) -> tuple[list[str], int | None, float | None]:
    problems: list[str] = []
    box: int | None = None
    pixel: float | None = None
    if not readable.mask.any():
        problems.append("no particle has a readable image")
    try:
        box = particles.box_px
    except ParticleFileError as error:
        if readable.mask.any():
            problems.append(str(error))
    try:
        pixel = particles.pixel_size_A
    except ParticleFileError as error:
        problems.append(str(error))
    try:
        _ = particles.has_ctf and particles.ctf
    except ParticleFileError as error:
        problems.append(str(error))
    return problems, box, pixel


def _bad(particles: ParticleSet, readable: Readable, survey: Survey | None) -> dict[str, np.ndarray]:
    none = np.array([], dtype=np.int64)
    return {
        "without a readable image": readable.unreadable,
        "beyond the end of their stack": readable.beyond_stack,
        "with NaN or infinite pixels": none if survey is None else survey.rows[~survey.finite],
        "with all pixels equal": none if survey is None else survey.rows[survey.constant & survey.finite],
        "with CTF parameters that are not finite": _bad_ctf(particles),
    }


def _bad_ctf(particles: ParticleSet) -> np.ndarray:
    names = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnVoltage", "rlnSphericalAberration")
    finite = np.ones(len(particles), dtype=bool)
    for name in names:
        values = _numeric(particles, name)
        finite &= True if values is None else np.isfinite(values)
    return np.flatnonzero(~finite)


def _numeric(particles: ParticleSet, name: str) -> np.ndarray | None:
    try:
        return particles.parameter(name)
    except ParticleFileError:  # not a number: reported among the problems
        return None


def _defocus_range(particles: ParticleSet) -> tuple[float, float] | None:
    defocus = _numeric(particles, "rlnDefocusU")
    if defocus is None or not np.isfinite(defocus).any():
        return None
    return float(np.nanmin(defocus)), float(np.nanmax(defocus))


def _missing(particles: ParticleSet) -> list[str]:
    missing = [f"{name} (CTF)" for name in particles.missing_ctf_columns]
    if "rlnMicrographName" not in particles.table:
        missing.append("rlnMicrographName (grouping particles by micrograph)")
    return missing


def _assumptions(particles: ParticleSet) -> list[str]:
    table, optics = particles.table, particles.optics
    assumed = []
    if "optics" not in particles.layout:
        assumed.append(f"no optics table (RELION 3.0): {len(optics)} optics groups made from the particle table")
    elif "rlnOpticsGroup" not in table:
        assumed.append("no rlnOpticsGroup: all particles belong to the only optics group")
    if not particles.has("rlnImageSize"):
        assumed.append("no rlnImageSize: the box is that of the first stack")
    if "rlnMicrographName" not in table:
        assumed.append("no rlnMicrographName: every image file counts as one micrograph")
    if not particles.has_ctf:
        assumed.append("without CTF parameters the images are taken as undisturbed by the microscope")
    else:
        for name, text in (
            ("rlnDefocusV", "no astigmatism"),
            ("rlnDefocusAngle", "astigmatism angle 0"),
            ("rlnPhaseShift", "no phase plate"),
        ):
            if not particles.has(name):
                assumed.append(f"no {name}: {text}")
    if particles.images.sign is not None and (particles.images.sign < 0).any():
        assumed.append("blob/sign is -1: these images are inverted when they are read; RELION does not do so")
    return assumed


def _warnings(particles: ParticleSet, readable: Readable, contrast: Contrast | None, pixel: float | None) -> list[str]:
    warnings = list(readable.messages[:_SHOWN])
    if len(readable.messages) > _SHOWN:
        warnings.append(f"{len(readable.messages) - _SHOWN} more image files cannot be read")
    if contrast is not None and contrast.verdict == "dark":
        warnings.append("particles seem to be dark on light; methods expect them white: invert the contrast")
    premultiplied = _numeric(particles, "rlnCtfDataAreCtfPremultiplied")
    if premultiplied is not None and (premultiplied > 0).any():
        warnings.append("images are premultiplied by their CTF (rlnCtfDataAreCtfPremultiplied)")
    header = _header_pixel(particles)
    if pixel is not None and header not in (0.0, 1.0) and abs(header - pixel) > 0.01 * pixel:
        warnings.append(f"the table says {pixel:g} A/pixel, the header of the first readable stack {header:g}")
    return warnings


def _header_pixel(particles: ParticleSet) -> float:
    for code in np.unique(particles.images.code).tolist()[:_SHOWN]:
        try:
            return particles.images.stack(code).header.pixel_size_A
        except (ParticleFileError, FileNotFoundError):
            continue
    return 0.0


def _contrast(survey: Survey) -> Contrast | None:
    """Centre against background, per image in units of its own background, averaged over images.

    Phase contrast suppresses the lowest frequencies, so the difference is small and its sign only certain over many
    images: five standard errors are asked for.
    """
    use = survey.good & (survey.ring_sd > 0)
    count = int(np.count_nonzero(use))
    if count < 2:
        return None
    difference = (survey.disc_mean[use] - survey.ring_mean[use]) / survey.ring_sd[use]
    mean, error = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(count))
    verdict = "unclear" if abs(mean) < _CERTAIN * error or mean == 0 else "white" if mean > 0 else "dark"
    return Contrast(verdict=verdict, difference=mean, standard_error=error, images=count)


def _background(survey: Survey) -> Background | None:
    mean, sd = survey.ring_mean[survey.good], survey.ring_sd[survey.good]
    if len(mean) == 0:
        return None
    normalised = (np.abs(mean) < 0.1) & (np.abs(sd - 1) < 0.1)
    return Background(
        mean=float(np.median(mean)), sd=float(np.median(sd)), normalised_fraction=float(normalised.mean())
    )


def _duplicate_images(particles: ParticleSet, survey: Survey) -> tuple[tuple[int, ...], ...]:
    """Groups with equal pixels; the same image listed twice counts once, and broken images are not compared."""
    rows, digest = survey.rows[survey.good], survey.digest[survey.good]
    key = particles.images.code[rows] * (1 << 40) + particles.images.frame[rows]
    _, first = np.unique(key, return_index=True)
    return tuple(tuple(int(rows[first][i]) for i in group) for group in _groups(digest[first]))


def _groups(values: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Positions of values that occur more than once, grouped."""
    order = np.argsort(values, kind="stable")
    edges = np.flatnonzero(np.diff(values[order]) != 0) + 1 if len(values) else np.array([], dtype=np.int64)
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(values)]])
    many = ends - starts > 1
    return tuple(tuple(order[a:b].tolist()) for a, b in zip(starts[many], ends[many], strict=True))


def _numbers(rows: tuple[int, ...]) -> str:
    shown = ", ".join(str(row + 1) for row in rows[:_SHOWN])
    return shown if len(rows) <= _SHOWN else f"{shown}, ..."
