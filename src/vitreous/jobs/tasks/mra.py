"""The ``mra`` job: particles in; class averages, RELION's files and a report out, as of ``class2d``."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.mra import MRA, MRARun, MRAState, prepare_mra
from vitreous.averages.result import Class2DResult
from vitreous.jobs.function import function_of
from vitreous.jobs.history import read_history
from vitreous.jobs.laid_out import about_layout, data_words, search_words
from vitreous.jobs.report.class2d import class2d_page
from vitreous.jobs.results.class2d import FILES
from vitreous.jobs.results.class2d_relion import SearchSettings, write_final
from vitreous.jobs.sources import Particles, require_within_box
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.words import counted

__all__ = ["TASK", "run_mra"]


def _prepare(source: Particles, settings: MRA, resources: Resources) -> Prepared[MRAState, Class2DResult]:
    found = source.open(ctf=settings.ctf, poses=False)
    require_within_box(settings, found)
    run = prepare_mra(
        found, settings, memory_bytes=resources.memory_bytes, threads=resources.threads, store=resources.store
    )
    run.on_progress = resources.progress
    groups = "equal groups" if settings.equal_groups else "free groups"
    against = "others" if settings.leave_out else "all images"
    return Prepared(
        **about_layout(run.laid, settings),
        algorithm=run.algorithm,
        state=MRAState,
        steps=settings.iterations,
        write=partial(_write, run),
        screen=(
            data_words(run.laid),
            f"settings {settings.classes} classes, {groups}, score {settings.score} with averages of {against}, "
            f"{search_words(run.laid)}, at most {settings.iterations} passes, seed {settings.seed}",
            f"output   {resources.store.parent}",
        ),
    )


def _write(run: MRARun, folder: Path, result: Class2DResult, state: MRAState) -> Outcome:
    last: dict[str, Any] = read_history(folder)[-1]
    search = SearchSettings(
        iterations=run.settings.iterations,
        seed=run.settings.seed,
        regularisation=1.0,
        psi_step_deg=last["psi_step_deg"],
        offset_range_A=run.laid.offset_range_A,
        offset_step_A=run.laid.offset_range_A * float(np.sqrt(np.pi / last["shifts"])),
    )
    write_final(folder, result, run.laid.particles, search=search)
    filled, best = int((result.population > 0).sum()), float(result.resolution_A.min())
    largest = float(result.population.max() / result.population.sum())
    figures = {
        "classes_with_particles": filled,
        "refused_particles": int((result.class_number == 0).sum()),
        "best_resolution_A": best if np.isfinite(best) else None,
        "largest_share": round(largest, 4),
        "found_signal": result.found_signal,
    }
    messages = tuple(result.messages)
    if not result.found_signal:
        return Outcome(
            words="no class shows more signal than noise alone would", verdict="nothing was found", summary=figures,
            messages=messages,
        )  # fmt: skip
    resolution = f"the best resolution is {best:.1f} Å" if np.isfinite(best) else "none of them with a resolution"
    return Outcome(
        words=f"{counted(filled, 'class')} after {counted(state.iteration, 'pass')}, {resolution}; the largest has "
        f"{100 * largest:.1f} % of the particles",
        summary=figures,
        messages=messages,
    )


TASK = Task(
    name="mra",
    title="aligning and grouping",
    about="K-means with alignment: every particle goes to the average that it resembles most, at its best rotation and "
    "shift. Files are those of class2d.",
    source=Particles,
    methods={"": MRA},
    prepare=_prepare,
    files=FILES,
    results="run_data.star, run_classes.mrcs, run_model.star",
    page=class2d_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_mra = function_of(TASK)
