"""The ``align`` job: particles of one view in; their average, its FRC and their alignments out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.align import Align, AlignResult, AlignRun, AlignState, prepare_alignment
from vitreous.jobs.function import function_of
from vitreous.jobs.laid_out import about_layout, data_words, search_words
from vitreous.jobs.report.align import align_page
from vitreous.jobs.results.align import FILES, write_aligned, write_aligned_stack
from vitreous.jobs.sources import CTFApplied, Particles, one_image
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.words import counted

__all__ = ["TASK", "ParticlesToAlign", "run_align"]


@dataclass(frozen=True, kw_only=True)
class ParticlesToAlign:
    """Particles that show one view, and what they are aligned to.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    reference
        An image (.mrc or .mrcs, the first one counts) of the same box, for the method "reference".
    aligned_stack
        Write all images as they lie on the average, too: aligned.mrcs.
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
    reference: Path | None = None
    aligned_stack: bool = False
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(source: ParticlesToAlign, settings: Align, resources: Resources) -> Prepared[AlignState, AlignResult]:
    found = Particles(
        particles=source.particles,
        project=source.project,
        passthrough=source.passthrough,
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    ).open(ctf=settings.ctf, poses=False)
    reference = None if source.reference is None else one_image(source.reference)
    run = prepare_alignment(
        found, settings, reference=reference, memory_bytes=resources.memory_bytes, threads=resources.threads
    )
    run.on_progress = resources.progress
    return Prepared(
        **about_layout(run.laid, settings, *(() if source.reference is None else (source.reference,))),
        algorithm=run.algorithm,
        state=AlignState,
        steps=settings.iterations,
        write=partial(_write, run, source.aligned_stack),
        screen=_screen(run, resources.store.parent),
    )


def _screen(run: AlignRun, output: Path) -> tuple[str, ...]:
    settings = run.settings
    mirror = ", mirror images too" if settings.mirror else ""
    return (
        data_words(run.laid),
        f"settings {settings.method}, {counted(settings.begun, 'start')}, {search_words(run.laid)}{mirror}, "
        f"at most {counted(settings.iterations, 'pass')}, seed {settings.seed}",
        f"output   {output}",
    )


def _write(run: AlignRun, stack: bool, folder: Path, result: AlignResult, state: AlignState) -> Outcome:
    write_aligned(folder, result, run.laid.particles)
    if stack:
        write_aligned_stack(folder, result, run.laid.particles.read, run.laid.preparation, run.laid.threads)
    return Outcome(
        words=_words(result, state),
        verdict="done" if result.found_signal else "nothing was found",
        summary=_figures(result),
        messages=result.messages,
    )


def _words(result: AlignResult, state: AlignState) -> str:
    if not result.found_signal:
        return "images that the average has not seen match it no better than noise does"
    resolution = f"resolution {result.resolution_A:.1f} Å" if np.isfinite(result.resolution_A) else "nothing resolved"
    error = result.mean_error_A / result.pixel_size_A
    starts = f"; starts differ by {error:.2f} px" if np.isfinite(error) else ""
    images = counted(int(result.alignments.known.sum()), "image")
    return f"{images} aligned in {counted(state.iteration, 'pass')}, {resolution}{starts}"


def _figures(result: AlignResult) -> dict[str, Any]:
    """For ``job.json`` and the report."""
    error, stable = result.mean_error_A / result.pixel_size_A, result.mirror_stable_share
    return {
        "aligned_particles": int(result.alignments.known.sum()),
        "resolution_A": result.resolution_A if np.isfinite(result.resolution_A) else None,
        "mean_pixel_error_px": round(error, 4) if np.isfinite(error) else None,
        "mirror_stable_share": round(stable, 4) if np.isfinite(stable) else None,
        "found_signal": result.found_signal,
    }


TASK = Task(
    name="align",
    title="aligning",
    about="One average of particles that show one view. Several random starts are made and compared: where they end "
    "in different alignments, the particles do not show one view, or show too little.",
    source=ParticlesToAlign,
    methods={"": Align},
    prepare=_prepare,
    files=FILES,
    results="average.mrcs, aligned.star",
    page=align_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_align = function_of(TASK)
