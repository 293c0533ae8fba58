"""The ``deconvolve`` job: classified particles in, a folder with non-negative averages and a report out."""

from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from vitreous.averages.deconvolve import Deconvolve, DeconvolveResult, DeconvolveRun, prepare_deconvolution
from vitreous.averages.deconvolve.task import State
from vitreous.iterate import run
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.folder import Job
from vitreous.jobs.inherit import classified_particles, inherited
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.progress import describe_duration, reporting
from vitreous.jobs.report.deconvolve import write_deconvolve_report
from vitreous.jobs.run_options import RunOptions, chosen_device, tell, use_threads
from vitreous.jobs.stack_table import write_stack_table
from vitreous.particles import read_particles, write_mrc_stack

__all__ = ["run_deconvolve", "write_deconvolved"]


def run_deconvolve(
    particles: str | Path,
    output: str | Path,
    settings: Deconvolve | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_deconvolve",
    project: str | Path | None = None,
    pixel_size_A: float | None = None,
) -> Path | None:
    """Deconvolve the classes of a particle file and write everything into the folder ``output``.

    ``particles``: a STAR file with classes and poses (ours, or RELION's ``run_it###_data.star``), or the folder of a
    ``class2d`` job; with ``settings.single`` a stack of averages or a STAR file that names them. Particle diameter,
    contrast, normalisation and use of the CTF are taken over from a ``class2d`` job that the file belongs to.

    Written: ``deconvolved.mrcs``, masked, and ``deconvolved.star``, which names its images, classes and sizes;
    ``deconvolved_unmasked.mrcs``, ``deconvolved_masks.mrcs``, ``deconvolved_plain.mrcs`` (mean of the aligned images);
    ``report.html``, ``job.json``, ``run.log``. A job that was killed continues with ``options.resume``. Returns the
    path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For particles or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    path, given = classified_particles(particles), settings or Deconvolve()
    chosen, notes = (given, []) if given.single else inherited(given, path)
    use_threads(options)
    found = read_particles(path, project=project, pixel_size_A=pixel_size_A)
    prepared = prepare_deconvolution(found, chosen, device=chosen_device(options), memory_bytes=options.memory)
    screen = [*_describe(prepared), *(f"note     {text}" for text in (*notes, *prepared.messages))]
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": asdict(chosen), "averages": len(prepared.class_number)})
        return None
    recorded = asdict(chosen) | ({} if pixel_size_A is None else {"pixel_size_A": pixel_size_A})
    manifest = new_manifest("deconvolve", recorded, seed=0, inputs=[path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, prepared, options, screen),
        write_report=write_deconvolve_report,
        results="deconvolved.mrcs, deconvolved.star",
    )


def write_deconvolved(folder: str | Path, result: DeconvolveResult) -> None:
    """Write the stacks and the STAR file of a result into a folder."""
    path, pixel = Path(folder), result.pixel_size_A
    stacks = {"": result.averages, "_unmasked": result.unmasked, "_masks": result.masks, "_plain": result.plain}
    for name, images in stacks.items():
        write_mrc_stack(path / f"deconvolved{name}.mrcs", images, pixel)
    columns = {"rlnClassNumber": result.class_number, "vtrPopulation": result.population}
    write_stack_table(path / "deconvolved.star", "deconvolved.mrcs", result.averages.shape, pixel, columns)


def _describe(job: DeconvolveRun) -> list[str]:
    """The first screen."""
    images, classes, settings = len(job.members.particle), len(job.class_number), job.settings
    what = f"{classes:,} averages" if settings.single else f"{images:,} particles in {classes:,} classes"
    box, pixel = job.preparation.box_px, job.preparation.pixel_size_A
    defocus = f"{len(job.group_defocus_A)} defocus groups" if len(job.group_defocus_A) else "one frame each"
    return [
        f"data     {job.particles.path}: {what}, {box} x {box} pixels, {pixel:g} Å/pixel, "
        + ("CTF" if job.ctf is not None else "no CTF"),
        f"settings {defocus}, smoothness {settings.smoothness:g}, mask at {settings.mask_threshold:.0%} of the peak, "
        f"particle diameter {job.preparation.particle_diameter_A:.0f} Å",
    ]


def _work(job: Job, prepared: DeconvolveRun, options: RunOptions, screen: list[str]) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    state = job.restore(State)
    with (
        torch.no_grad(),
        reporting(
            "deconvolving", total=prepared.steps, first=0 if state is None else state.iteration, json=options.json
        ) as reporter,
    ):
        for line in screen:
            reporter.say(line)
            job.log(line)

        def on_step(info: dict) -> None:
            job.record(info)
            reporter.step(info)

        result, _ = run(
            prepared.algorithm, seed=0, state=state, on_step=on_step, save=job.save, interrupted=job.abort_requested
        )
    write_deconvolved(job.path, result)
    seconds = perf_counter() - start
    job.describe(summary=_figures(result, prepared, seconds), messages=tuple(result.messages))
    return f"done in {describe_duration(seconds)}: {len(result.averages)} averages"


def _figures(result: DeconvolveResult, prepared: DeconvolveRun, seconds: float) -> dict:
    """For ``job.json`` and the report."""
    return {
        "averages": len(result.averages),
        "particles": int(result.population.sum()),
        "box_px": result.averages.shape[-1],
        "pixel_size_A": result.pixel_size_A,
        "particle_diameter_used_A": result.particle_diameter_A,
        "ctf_corrected": prepared.ctf is not None,
        "group_defocus_A": np.round(result.group_defocus_A).tolist(),
        "group_population": result.group_population.tolist(),
        "most_iterations": int(result.iterations.max()),
        "seconds": round(seconds, 1),
    }
