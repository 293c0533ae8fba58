"""The ``class2d`` job: a particle file in, a folder with averages, RELION's files and a report out."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from vitreous.averages.class2d import Class2D, Class2DRun, prepare_run
from vitreous.averages.class2d.em import State
from vitreous.averages.result import Class2DResult
from vitreous.iterate import run
from vitreous.jobs.carry_out import carry_out
from vitreous.jobs.folder import Job
from vitreous.jobs.history import read_history
from vitreous.jobs.manifest import Manifest, new_manifest
from vitreous.jobs.progress import Reporter, follow, reporting
from vitreous.jobs.relion_output import SearchSettings, write_final, write_iteration
from vitreous.jobs.report import Examples, write_class2d_report, write_examples
from vitreous.jobs.run_options import RunOptions, chosen_device, tell, use_threads
from vitreous.jobs.run_snapshot import result_so_far
from vitreous.jobs.run_summary import describe_result, describe_start, warnings_before
from vitreous.particles import ParticleSet, read_particles

__all__ = ["run_class2d"]

STORE = "prepared"  # folder for prepared images that do not fit into memory; removed at the end


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """A job that is laid out and has not begun."""

    particles: ParticleSet
    settings: Class2D
    options: RunOptions
    prepared: Class2DRun
    manifest: Manifest
    first_screen: tuple[str, ...]
    warnings: tuple[str, ...]


def run_class2d(
    particles: str | Path,
    output: str | Path,
    settings: Class2D | None = None,
    options: RunOptions | None = None,
    *,
    command: str = "vitreous.run_class2d",
    project: str | Path | None = None,
    passthrough: Sequence[str | Path] = (),
    pixel_size_A: float | None = None,
    offset_range_px: float | None = None,
) -> Path | None:
    """Classify the particles of a file and write everything into the folder ``output``.

    The folder gets ``run_data.star``, ``run_classes.mrcs``, ``run_model.star`` and ``run_optimiser.star`` (and those
    of the iterations as ``run_it###_...``), ``report.html``, ``job.json``, ``history.jsonl``, ``run.log``. A job that
    was killed continues with ``options.resume`` and ends with the same result. ``offset_range_px`` overrules
    ``settings.offset_range_A``. Returns the path of the report; None after a dry run.

    Raises
    ------
    FileNotFoundError, ValueError
        For particles or settings that cannot be used, and for a folder that holds something else.
    Interrupted
        When ``RELION_JOB_ABORT_NOW`` has appeared in the folder.
    """
    options = options or RunOptions()
    found = read_particles(particles, project=project, passthrough=passthrough, pixel_size_A=pixel_size_A)
    chosen = settings or Class2D()
    if offset_range_px is not None:
        chosen = replace(chosen, offset_range_A=offset_range_px * found.pixel_size_A)
    use_threads(options)
    layout = _lay_out(found, chosen, options, Path(output), given_pixel_size_A=pixel_size_A)
    if options.dry_run:
        tell(options, "\n".join(layout.first_screen), "plan", _plan_event(layout))
        return None
    return carry_out(
        output,
        layout.manifest,
        options,
        command=command,
        work=lambda job: _work(job, layout),
        write_report=write_class2d_report,
        results="run_data.star, run_classes.mrcs, run_model.star",
    )


def _lay_out(
    particles: ParticleSet, settings: Class2D, options: RunOptions, output: Path, *, given_pixel_size_A: float | None
) -> _Layout:
    """Everything that can be found wrong before the folder is touched is found here."""
    device = chosen_device(options)
    warnings = warnings_before(particles, invert_contrast=settings.invert_contrast)
    prepared = prepare_run(particles, settings, device=device, memory_bytes=options.memory, store=output / STORE)
    recorded = {name: value for name, value in asdict(settings).items() if name != "seed"}
    if given_pixel_size_A is not None:
        recorded["pixel_size_A"] = given_pixel_size_A
    screen = describe_start(particles, settings, prepared.plan, device=device, output=output)
    return _Layout(
        particles=particles,
        settings=settings,
        options=options,
        prepared=prepared,
        manifest=new_manifest("class2d", recorded, seed=settings.seed, inputs=[particles.path]),
        first_screen=(*screen, *(f"note     {text}" for text in (*prepared.plan.notes, *warnings))),
        warnings=warnings,
    )


def _plan_event(layout: _Layout) -> dict:
    return {**asdict(layout.prepared.plan), "settings": asdict(layout.settings), "warnings": layout.warnings}


def _work(job: Job, layout: _Layout) -> str:
    """Run, or go on, and write the results; returns the closing words."""
    start = perf_counter()
    plan, store = layout.prepared.plan, job.path / STORE
    state = job.restore(State)
    done = 0 if state is None else state.iteration
    shutil.rmtree(store, ignore_errors=True)
    store.mkdir()
    job.describe(
        summary={"particles": plan.n_particles, "box_px": plan.box_px, **_chosen_values(layout)},
        messages=layout.warnings,
    )
    with (
        torch.no_grad(),
        reporting("classifying", total=layout.settings.iterations, first=done, json=layout.options.json) as reporter,
    ):
        for line in layout.first_screen:
            reporter.say(line)
            job.log(line)
        reporter.emit("plan", _plan_event(layout))
        if job.resumed:
            reporter.say(f"going on after iteration {done}")
        layout.prepared.on_progress = follow(reporter)
        result, _ = run(
            layout.prepared.algorithm,
            seed=layout.settings.seed,
            state=state,
            on_step=lambda info: _record(job, reporter, info),
            save=lambda reached: _save(job, layout, reached),
            interrupted=job.abort_requested,
        )
    shutil.rmtree(store, ignore_errors=True)
    closing, summary = describe_result(result, seconds=perf_counter() - start)
    _write_results(job, layout, result)
    job.describe(summary=summary, messages=tuple(result.messages))
    return closing


def _chosen_values(layout: _Layout) -> dict:
    """What "automatic" settings came to, for ``job.json`` and the report."""
    plan = layout.prepared.plan
    return {
        "pixel_size_A": plan.pixel_size_A,
        "particle_diameter_used_A": plan.particle_diameter_A,
        "offset_range_used_A": plan.offset_range_A,
        "ctf_corrected": plan.has_ctf,
        "device": layout.prepared.device,
        "threads": torch.get_num_threads(),
    }


def _record(job: Job, reporter: Reporter, info: dict) -> None:
    job.record(info)
    reporter.step(info)


def _save(job: Job, layout: _Layout, state: State) -> None:
    """RELION's files first, then the checkpoint: a run killed in between repeats the iteration and its files."""
    if state.iteration and state.iteration % layout.options.every == 0:
        snapshot = result_so_far(layout.prepared, state)
        search = _search_settings(job, layout)
        write_iteration(job.path, snapshot, layout.particles, iteration=state.iteration, search=search)
    job.save(state)


def _write_results(job: Job, layout: _Layout, result: Class2DResult) -> None:
    write_final(job.path, result, layout.particles, search=_search_settings(job, layout))
    found = layout.prepared.examples(result)
    if found:
        numbers, rows, images = zip(*found, strict=True)
        chosen = Examples(images=np.stack(images), class_number=np.array(numbers), particle=np.array(rows) + 1)
        write_examples(job.path, chosen)


def _search_settings(job: Job, layout: _Layout) -> SearchSettings:
    """RELION's view of the search; its shift step is that of a square grid with as many points in the disc."""
    last, plan = read_history(job.path)[-1], layout.prepared.plan
    return SearchSettings(
        iterations=layout.settings.iterations,
        seed=layout.settings.seed,
        regularisation=layout.settings.tau2_fudge,
        psi_step_deg=last["psi_step_deg"],
        offset_range_A=plan.offset_range_A,
        offset_step_A=plan.offset_range_A * float(np.sqrt(np.pi / last["shifts"])),
    )
