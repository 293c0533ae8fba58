"""The ``denoise`` job: particles in, a folder with denoised images and a report out."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.denoise import Denoise, DenoiseModel, DenoiseRun, DenoiseState, prepare_denoising
from vitreous.jobs.function import function_of
from vitreous.jobs.report.denoise import denoise_page
from vitreous.jobs.results.denoise import FILES, STACK, STAR, denoised_table, write_model
from vitreous.jobs.sources import Particles, require_within_box, warnings_before
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.particles import MrcStackWriter, in_relion_form, write_star

__all__ = ["TASK", "run_denoise"]

STORE = "coefficients.dat"  # coefficients that do not fit into memory
EXAMPLES = 30


def _prepare(source: Particles, settings: Denoise, resources: Resources) -> Prepared[DenoiseState, DenoiseModel]:
    found = source.open(ctf=settings.ctf)
    require_within_box(settings, found)
    run = prepare_denoising(
        found,
        settings,
        memory_bytes=resources.memory_bytes,
        store=resources.store / STORE,
        threads=resources.threads,
    )
    run.on_progress = resources.progress
    stack = MrcStackWriter(resources.store.parent / STACK, box_px=found.box_px, pixel_size_A=found.pixel_size_A)
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        pixels=found.digest,
        algorithm=run.algorithm(stack),
        state=DenoiseState,
        steps=run.steps,
        write=partial(_write, run),
        during=lambda folder: stack,  # appears when it is complete, at the end
        screen=_screen(run),
        warnings=(*run.notes, *warnings_before(found, invert_contrast=settings.invert_contrast)),
        plan={"particles": len(found)},
    )


def _screen(run: DenoiseRun) -> tuple[str, ...]:
    particles, plan = run.particles, run.steerable
    return (
        f"data     {particles.path}: {len(particles):,} particles, {particles.box_px} x {particles.box_px} pixels, "
        f"{particles.pixel_size_A:g} Å/pixel, " + ("CTF" if run.ctf is not None else "no CTF"),
        f"settings particle diameter {plan.preparation.particle_diameter_A:.0f} Å, {plan.basis.size:,} coefficients "
        "per image at most",
    )


def _write(run: DenoiseRun, folder: Path, model: DenoiseModel, state: DenoiseState) -> Outcome:
    particles = in_relion_form(run.particles)
    table = denoised_table(particles, ctf_corrected=run.ctf is not None, weight=~model.bad)
    tables = particles.blocks | {"optics": particles.optics, particles.block: table}
    write_star(folder / STAR, {name: tables[name] for name in particles.layout})
    write_model(folder, model, *_examples(run, model))
    bad = int(model.bad.sum())
    refused = f"; {bad:,} particles were refused" if bad else ""
    words, verdict = f"{len(particles) - bad:,} images, details to {model.cutoff_A:.1f} Å{refused}", "done"
    if not model.found_signal:
        words, verdict = "every denoised image is the mean image", "nothing was found"
    return Outcome(words=words, summary=_figures(model, run), messages=tuple(model.messages), verdict=verdict)


def _examples(run: DenoiseRun, model: DenoiseModel) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of some particles spread over the data, their raw images, their denoised images."""
    good = np.flatnonzero(~model.bad)
    chosen = np.unique(good[np.linspace(0, len(good) - 1, min(EXAMPLES, len(good))).astype(int)])
    raw = run.particles.read(chosen)
    return chosen + 1, -raw if run.settings.invert_contrast else raw, run.images(chosen)


def _figures(model: DenoiseModel, run: DenoiseRun) -> dict[str, Any]:
    """For ``job.json`` and the report."""
    return {
        "particles": len(run.particles),
        "bad_particles": int(model.bad.sum()),
        "box_px": run.particles.box_px,
        "pixel_size_A": run.particles.pixel_size_A,
        "working_pixel_size_A": model.pixel_size_A,
        "particle_diameter_used_A": model.particle_diameter_A,
        "finest_detail_A": round(model.cutoff_A, 2) if model.found_signal else None,
        "found_signal": model.found_signal,
        "components_found": len(model.orders),
        "ctf_corrected": run.ctf is not None,
        "defocus_groups": model.defocus_groups,
        "largest_phase_error_rad": round(model.phase_error_rad, 3),
    }


TASK = Task(
    name="denoise",
    title="denoising",
    about="What every particle probably shows, given all others. Shifts in the file are used to centre the particles. "
    "Where the CTF is corrected, its columns go: no program must correct it again.",
    source=Particles,
    methods={"": Denoise},
    prepare=_prepare,
    files=FILES,
    results=f"{STAR}, {STACK}",
    page=denoise_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_denoise = function_of(TASK)
