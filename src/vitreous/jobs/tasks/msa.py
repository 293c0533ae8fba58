"""The ``msa`` job: aligned particles in; eigenimages, factor maps and classes in factor space out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.msa import MSA, MSAResult, MSARun, MSAState, prepare_msa
from vitreous.jobs.function import function_of
from vitreous.jobs.report.msa import msa_page
from vitreous.jobs.results.msa import FILES, aligned_file, write_msa
from vitreous.jobs.sources import CTFApplied, Particles, inherited, one_image, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import ParticleSet, judged
from vitreous.words import counted

__all__ = ["TASK", "AlignedParticles", "run_msa"]


@dataclass(frozen=True, kw_only=True)
class AlignedParticles:
    """Particles in one frame.

    Parameters
    ----------
    particles
        The folder of an align, class2d or isac job, a .star file with angles and shifts, a cryoSPARC .cs file, or a
        stack that is aligned already.
    mask
        An image (.mrc or .mrcs, the first one counts) of the same box: pixels above 0.5 are compared.
    of_class
        Analyse only the particles of this class of the file, from 1.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    """

    particles: Path
    mask: Path | None = None
    of_class: int | None = None
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(source: AlignedParticles, settings: MSA, resources: Resources) -> Prepared[MSAState, MSAResult]:
    settings, taken = inherited(settings, aligned_file(source.particles))
    found = _opened(source, settings)
    mask = None if source.mask is None else one_image(source.mask)
    run = prepare_msa(
        found,
        settings,
        mask=mask,
        memory_bytes=resources.memory_bytes,
        store=resources.store,
        threads=resources.threads,
    )
    run.on_progress = resources.progress
    return Prepared(
        settings=settings,
        inputs=(found.path, *(() if source.mask is None else (source.mask,))),
        pixels=found.digest,
        algorithm=run.algorithm,
        state=MSAState,
        steps=run.steps,
        write=partial(_write, run),
        screen=_screen(run, resources.store.parent),
        notes=(*taken, *run.notes),
        warnings=(*run.warnings, *warnings_before(found, invert_contrast=settings.invert_contrast)),
        summary={
            "particles": len(found),
            "used_particles": len(run.used),
            "box_px": found.box_px,
            "pixel_size_A": found.pixel_size_A,
            "particle_diameter_used_A": run.preparation.particle_diameter_A,
            "pixels": int(run.mask.sum()),
        },
    )


def _opened(source: AlignedParticles, settings: MSA) -> ParticleSet:
    """The particles, judged; those of one class where one was asked for."""
    given = Particles(
        particles=aligned_file(source.particles),
        project=source.project,
        passthrough=source.passthrough,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    )
    every = given.read(alignment="2D")
    if source.of_class is not None:
        name = "rlnClassNumber"
        number = every.table.numbers(name) if name in every.table else np.zeros(len(every))
        if not (number == source.of_class).any():
            known = ", ".join(f"{k:.0f}" for k in np.unique(number[number > 0])) or "none"
            raise ValueError(f"{every.path}: no particle is in class {source.of_class} ({name}); classes: {known}")
        every = every.subset(number == source.of_class)
    return judged(every, ctf=settings.ctf, poses=True)


def _screen(run: MSARun, output: Path) -> tuple[str, ...]:
    particles, settings = run.particles, run.settings
    classes = "classes from the data" if settings.classes is None else counted(settings.classes, "class")
    how = "covariance of all pixels" if run.exact else "randomised subspace"
    return (
        f"data     {particles.path}: {len(run.used):,} of {len(particles):,} particles, {particles.box_px} x "
        f"{particles.box_px} pixels, {particles.pixel_size_A:g} Å/pixel",
        f"settings {settings.metric} metric, {run.kept_factors} factors of {int(run.mask.sum()):,} pixels ({how}), "
        f"{classes}, particle diameter {run.preparation.particle_diameter_A:.0f} Å, seed {settings.seed}",
        f"output   {output}",
    )


def _write(run: MSARun, folder: Path, result: MSAResult, state: MSAState) -> Outcome:
    write_msa(folder, result, run.particles)
    share = float(result.eigenvalues[: result.significant].sum()) / max(result.total_variance, 1e-300)
    figures: dict[str, Any] = {
        "significant_factors": result.significant,
        "computed_factors": len(result.eigenvalues),
        "significant_variance_share": round(share, 4),
        "classes": len(result.averages),
        "agreement": round(result.agreement, 4),
        "offset": round(result.offset, 4),
        "found_signal": result.found_signal,
    }
    if not result.found_signal:
        return Outcome(
            words="no factor varies by more than noise does",
            verdict="nothing was found",
            summary=figures,
            messages=result.messages,
        )
    at_least = "at least " if result.significant == len(result.eigenvalues) else ""
    return Outcome(
        words=f"{at_least}{counted(result.significant, 'significant factor')} with {100 * share:.1f} % of the "
        f"variance, {counted(len(result.averages), 'class')}",
        summary=figures,
        messages=result.messages,
    )


TASK = Task(
    name="msa",
    title="analysing",
    about="Principal components or correspondence analysis of aligned images: eigenimages, how many of them are no "
    "noise, maps of the images by their factors, and classes in the space of factors. Images are compared as they "
    "lie; nothing is aligned here.",
    source=AlignedParticles,
    methods={"": MSA},
    prepare=_prepare,
    files=FILES,
    results="run_classes.mrcs, run_data.star, msa_eigenimages.mrcs",
    page=msa_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_msa = function_of(TASK)
