"""The ``isac`` job: particles in; validated class averages, and which particles they account for, out."""

from functools import partial
from pathlib import Path

import numpy as np

from vitreous.averages.isac import ISAC, ISACResult, ISACRun, ISACState, prepare_isac
from vitreous.jobs.function import function_of
from vitreous.jobs.laid_out import about_layout, data_words, search_words
from vitreous.jobs.report.isac import isac_page
from vitreous.jobs.results.isac import FILES, write_isac
from vitreous.jobs.sources import Particles
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.words import counted

__all__ = ["TASK", "run_isac"]


def _prepare(source: Particles, settings: ISAC, resources: Resources) -> Prepared[ISACState, ISACResult]:
    found = source.open(ctf=settings.ctf, poses=False)
    run = prepare_isac(found, settings, memory_bytes=resources.memory_bytes, threads=resources.threads)
    run.on_progress = resources.progress
    return Prepared(
        **about_layout(run.laid, settings),
        algorithm=run.algorithm,
        state=ISACState,
        steps=run.steps,
        write=partial(_write, run),
        screen=(
            data_words(run.laid),
            f"settings {settings.img_per_grp} images per group, {settings.runs} runs, {settings.starts} starts, "
            f"{search_words(run.laid)}, at most {settings.generations} generations, seed {settings.seed}",
            f"output   {resources.store.parent}",
        ),
    )


def _write(run: ISACRun, folder: Path, result: ISACResult, state: ISACState) -> Outcome:
    write_isac(folder, result, run.laid.particles)
    count, accounted = len(result.population), int(result.accounted.sum())
    figures = {
        "classes": count,
        "accounted_particles": accounted,
        "accounted_share": round(accounted / len(run.laid.particles), 4),
        "generations": int(result.generation.max(initial=0)),
        "median_pixel_error_px": round(float(np.median(result.error_A)) / result.pixel_size_A, 3) if count else None,
    }
    if not count:
        return Outcome(
            words="no class was reproducible and stable", summary=figures, messages=result.messages,
            verdict="nothing was found",
        )  # fmt: skip
    share = 100 * accounted / len(run.laid.particles)
    return Outcome(
        words=f"{counted(count, 'class')} with {accounted:,} of {len(run.laid.particles):,} particles ({share:.0f} %)",
        summary=figures,
    )


TASK = Task(
    name="isac",
    title="ISAC",
    about="Iterative stable alignment and clustering: several runs of equal-size classes have to agree, and the "
    "members that they have in common have to align in the same way from random beginnings. The rest is tried again.",
    source=Particles,
    methods={"": ISAC},
    prepare=_prepare,
    files=FILES,
    results="isac_classes.mrcs, isac_data.star, accounted.star",
    page=isac_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_isac = function_of(TASK)
