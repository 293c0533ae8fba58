"""What is in a particle file, what is missing, what will be assumed, and which particles are bad."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.particles.duplicates import equal_images, equal_names
from vitreous.particles.judge import look
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.plausible import numbers_of
from vitreous.particles.reading import read_particles
from vitreous.particles.usable import Background, Contrast, row_numbers

__all__ = ["CheckReport", "check_particles"]


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
    usable: int  # particles that a job would use, as far as was looked
    bad: dict[str, tuple[int, ...]]  # kind of fault -> particles, each under its first fault
    advice: dict[str, str]  # kind of fault -> what is likely, and what to do
    mended: tuple[int, ...]  # particles with some pixels that neither noise nor particles have
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
                advice = f"; {self.advice[kind]}" if kind in self.advice else ""
                lines.append(f"bad: {len(rows)} {kind}: particles {row_numbers(rows)}{advice}")
        if self.mended:
            lines.append(
                f"mended: {len(self.mended)} with pixels that neither noise nor particles have, which count as "
                f"background: particles {row_numbers(self.mended)}"
            )
        for what, groups in (("image name", self.duplicate_names), ("pixels", self.duplicate_images)):
            if groups:
                count = sum(len(g) - 1 for g in groups)
                lines.append(
                    f"duplicates: {count} particles repeat the {what} of another, first {row_numbers(groups[0])}"
                )
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


def check_particles(particles: ParticleSet | str | Path, *, sample: int | None = None, seed: int = 0) -> CheckReport:
    """Look at the table, the headers of all stacks, and the pixels of all (or ``sample`` randomly chosen) images.

    particles: a set, or the name of its file. Images are streamed; memory does not grow with their number. Nothing is
    raised for a fault of the data: it is in the report, as every job will find it
    (:func:`vitreous.particles.judge`).
    """
    particles = read_particles(particles)
    usable, _, survey = look(particles, sample=sample, seed=seed)
    kinds: dict[str, tuple[int, ...]] = {fault.kind: tuple(fault.rows.tolist()) for fault in usable.faults}
    mended = np.flatnonzero(np.isfinite(usable.limit) & ~usable.bad)
    return CheckReport(
        path=str(particles.path),
        particles=len(particles),
        files=len(np.unique(particles.images.code)),
        micrographs=len(np.unique(particles.micrograph)),
        optics_groups=len(np.unique(particles.optics_group)),
        box_px=usable.box_px,
        pixel_size_A=usable.pixel_size_A,
        defocus_range_A=_defocus_range(particles),
        columns=particles.table.names,
        other_blocks=tuple(particles.blocks),
        missing=tuple(_missing(particles)),
        assumptions=tuple(_assumptions(particles)),
        warnings=usable.warnings,
        problems=usable.problems,
        images_checked=usable.images_checked,
        usable=int(np.count_nonzero(~usable.bad)),
        bad=kinds,
        advice={fault.kind: fault.advice for fault in usable.faults if fault.advice and len(fault.rows)},
        mended=tuple(mended.tolist()),
        duplicate_names=equal_names(particles),
        duplicate_images=() if survey is None else equal_images(particles, survey),
        contrast=usable.contrast,
        background=usable.background,
    )


def _defocus_range(particles: ParticleSet) -> tuple[float, float] | None:
    defocus = numbers_of(particles, "rlnDefocusU")
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
