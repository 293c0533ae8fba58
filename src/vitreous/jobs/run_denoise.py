"""The ``denoise`` job: particles in, a folder with denoised images and a report out."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from vitreous.averages.denoise import Denoise, DenoiseModel, DenoiseRun, prepare_denoising
from vitreous.iterate import Interrupted
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.folder import Job
from vitreous.jobs.manifest import new_manifest
from vitreous.jobs.options import RunOptions, tell, use_threads
from vitreous.jobs.progress import Reporter, describe_duration, reporting
from vitreous.jobs.report.denoise import write_denoise_report, write_model
from vitreous.particles import MrcStackWriter, ParticleSet, Table, image_name, read_particles, write_star

__all__ = ["denoised_table", "run_denoise"]

STACK, STAR = "denoised.mrcs", "denoised.star"
STORE = "denoised.coefficients"  # coefficients that do not fit into memory; removed at the end
EXAMPLES = 30
CTF_COLUMNS = (
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnCtfBfactor",
    "rlnCtfScalefactor",
    "rlnCtfImage",
    "rlnCtfMaxResolution",
    "rlnCtfFigureOfMerit",
)


def run_denoise(
    particles: str | Path,
    output: str | Path,
    settings: Denoise | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_denoise",
    project: str | Path | None = None,
    passthrough: Sequence[str | Path] = (),
    pixel_size_A: float | None = None,
) -> Path | None:
    """Denoise the particles of a file and write everything into the folder ``output``.

    Written: ``denoised.mrcs`` (box, pixel size and grey scale of the input, as a stream), ``denoised.star`` (all rows
    and columns; see :func:`denoised_table`), ``denoised_model.npz`` (mean, components, noise), ``report.html``,
    ``job.json``, ``run.log``. Every start begins from the beginning, and ends with the same files. Returns the path
    of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For particles or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    settings, options = settings or Denoise(), options or RunOptions()
    if options.device == "cuda":
        raise ValueError("denoising runs on the processor; use --device cpu or auto")
    use_threads(options)
    found = read_particles(particles, project=project, passthrough=passthrough, pixel_size_A=pixel_size_A)
    prepared = prepare_denoising(found, settings, memory_bytes=options.memory, store=Path(output) / STORE)
    screen = [*_describe(prepared), *(f"note     {text}" for text in prepared.notes)]
    if options.dry_run:
        tell(options, "\n".join(screen), "plan", {"settings": asdict(settings), "particles": len(found)})
        return None
    recorded = asdict(settings) | ({} if pixel_size_A is None else {"pixel_size_A": pixel_size_A})
    manifest = new_manifest("denoise", recorded, seed=0, inputs=[found.path])
    return carry_out(
        output,
        manifest,
        options,
        command=command,
        work=lambda job: _work(job, prepared, options, screen),
        write_report=write_denoise_report,
        results=f"{STAR}, {STACK}",
    )


def denoised_table(particles: ParticleSet, *, ctf_corrected: bool, weight: np.ndarray) -> Table:
    """The table of the denoised images: ``denoised.mrcs`` in the place of the raw images, all other columns kept.

    ``vtrSourceImage`` names the raw image, ``vtrWeight`` (n,) is 0 for images that could not be used. Where the CTF
    has been corrected its columns go, so that no program corrects it again; RELION has no word for "corrected".
    """
    table = particles.table.without(CTF_COLUMNS) if ctf_corrected else particles.table
    return table.with_columns(
        {
            "vtrSourceImage": particles.table.text("rlnImageName"),
            "vtrWeight": weight.astype(int),
            "rlnImageName": [image_name(i, STACK) for i in range(len(particles))],
        }
    )


def _describe(job: DenoiseRun) -> list[str]:
    """The first screen."""
    particles, plan = job.particles, job.steerable
    return [
        f"data     {particles.path}: {len(particles):,} particles, {particles.box_px} x {particles.box_px} pixels, "
        f"{particles.pixel_size_A:g} Å/pixel, " + ("CTF" if job.ctf is not None else "no CTF"),
        f"settings particle diameter {plan.preparation.particle_diameter_A:.0f} Å, {plan.basis.size:,} coefficients "
        "per image at most",
    ]


def _work(job: Job, prepared: DenoiseRun, options: RunOptions, screen: list[str]) -> str:
    """Fit, filter and write; returns the closing words."""
    start, n = perf_counter(), len(prepared.particles)
    try:
        with torch.no_grad(), reporting("denoising", total=3, json=options.json) as reporter:
            for line in screen:
                reporter.say(line)
                job.log(line)
            prepared.on_progress = _progress(job, reporter)
            model = prepared.model()
            _write_stack(job, prepared, prepared.on_progress)
        table = denoised_table(prepared.particles, ctf_corrected=prepared.ctf is not None, weight=~model.bad)
        tables = prepared.particles.blocks | {"optics": prepared.particles.optics, prepared.particles.block: table}
        write_star(job.path / STAR, {name: tables[name] for name in prepared.particles.layout})
        write_model(job.path, model, *_examples(prepared, model))
    finally:
        (job.path / STORE).unlink(missing_ok=True)
    seconds = perf_counter() - start
    job.describe(summary=_figures(model, prepared, seconds), messages=(*prepared.notes, *model.messages))
    return f"done in {describe_duration(seconds)}: {n:,} images, details to {model.cutoff_A:.1f} Å"


def _progress(job: Job, reporter: Reporter):
    """What the parts of the work report to: (done, of, what); also where a request to stop is heard."""
    parts = {"measuring the noise": 0, "reading particles": 1, "denoising": 2}

    def tell_progress(done: int, of: int, what: str) -> None:
        if job.abort_requested():
            raise Interrupted(0)
        reporter.clock.done = parts[what]
        reporter.within(done / of)

    return tell_progress


def _write_stack(job: Job, prepared: DenoiseRun, progress) -> None:
    """All images as a stream; the file appears when it is complete."""
    particles, step = prepared.particles, prepared.batch
    with MrcStackWriter(job.path / STACK, box_px=particles.box_px, pixel_size_A=particles.pixel_size_A) as stack:
        for first in range(0, len(particles), step):
            index = np.arange(first, min(first + step, len(particles)))
            stack.append(prepared.images(index))
            progress(int(index[-1]) + 1, len(particles), "denoising")


def _examples(prepared: DenoiseRun, model: DenoiseModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of some particles spread over the data, their raw images, their denoised images."""
    good = np.flatnonzero(~model.bad)
    chosen = np.unique(good[np.linspace(0, len(good) - 1, min(EXAMPLES, len(good))).astype(int)])
    raw = prepared.particles.read(chosen)
    return chosen + 1, -raw if prepared.settings.invert_contrast else raw, prepared.images(chosen)


def _figures(model: DenoiseModel, prepared: DenoiseRun, seconds: float) -> dict:
    """For ``job.json`` and the report."""
    return {
        "particles": len(prepared.particles),
        "bad_particles": int(model.bad.sum()),
        "box_px": prepared.particles.box_px,
        "pixel_size_A": prepared.particles.pixel_size_A,
        "working_pixel_size_A": model.pixel_size_A,
        "particle_diameter_used_A": model.particle_diameter_A,
        "finest_detail_A": round(model.cutoff_A, 2),
        "components_found": len(model.orders),
        "ctf_corrected": prepared.ctf is not None,
        "defocus_groups": model.defocus_groups,
        "largest_phase_error_rad": round(model.phase_error_rad, 3),
        "seconds": round(seconds, 1),
    }
