"""The ``stability`` job: the classes of any 2D classification in, how stable each of them is out."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vitreous.averages.stability import (
    StabilityResult,
    StabilityRun,
    StabilityRunState,
    StabilityTest,
    prepare_stability,
)
from vitreous.jobs.function import function_of
from vitreous.jobs.laid_out import about_layout, search_words
from vitreous.jobs.report.stability import stability_page
from vitreous.jobs.results.stability import FILES, classes_in, passthrough_in, write_stability
from vitreous.jobs.sources import CTFApplied, Particles, inherited
from vitreous.jobs.task import Outcome, Prepared, Resources, Task
from vitreous.words import counted

__all__ = ["TASK", "ClassesToTest", "run_stability"]


@dataclass(frozen=True, kw_only=True)
class ClassesToTest:
    """Classified particles.

    Parameters
    ----------
    classes
        The folder of a 2D classification (ours, RELION's or cryoSPARC's), or its particle file: a .star file with
        classes, angles and shifts, or a .cs file.
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

    classes: Path
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None


def _prepare(
    source: ClassesToTest, settings: StabilityTest, resources: Resources
) -> Prepared[StabilityRunState, StabilityResult]:
    path = classes_in(source.classes)
    settings, notes = inherited(settings, path)
    found = Particles(
        particles=path,
        project=source.project,
        passthrough=source.passthrough or passthrough_in(source.classes, path),
        pixel_size_A=source.pixel_size_A,
        ctf_applied=source.ctf_applied,
    ).open(ctf=settings.ctf, alignment="2D")
    run = prepare_stability(found, settings, memory_bytes=resources.memory_bytes, threads=resources.threads)
    run.on_progress = resources.progress
    about = about_layout(run.laid, settings)
    about["notes"] = (*notes, *run.laid.notes, *run.notes)
    about["summary"]["classes"] = run.classes
    return Prepared(
        **about,
        algorithm=run.algorithm,
        state=StabilityRunState,
        steps=settings.iterations,
        write=partial(_write, run),
        screen=(
            f"data     {found.path}: {len(found):,} particles in {counted(run.classes, 'class')}, "
            f"{found.pixel_size_A:g} Å/pixel",
            f"settings {settings.starts} starts, {search_words(run.laid)}, stable below {settings.threshold_px:g} px, "
            f"seed {settings.seed}",
            f"output   {resources.store.parent}",
        ),
    )


def _write(run: StabilityRun, folder: Path, result: StabilityResult, state: StabilityRunState) -> Outcome:
    write_stability(folder, result, run.laid.particles)
    tested = int((result.tested > 0).sum())
    stable, unstable = int(result.stable.sum()), tested - int(result.stable.sum())
    errors = result.error_A[result.stable] / result.pixel_size_A
    median = f", median pixel error {np.median(errors):.2f} px" if stable else ""
    return Outcome(
        words=f"{stable} of {counted(tested, 'class')} {'is' if stable == 1 else 'are'} stable{median}; {unstable} "
        f"{'is' if unstable == 1 else 'are'} not",
        summary={
            "tested_classes": tested,
            "stable_classes": stable,
            "particles_in_stable_classes": int(result.population[result.stable].sum()),
            "resolution_used_A": round(result.resolution_A, 1),
            "threshold_px": run.settings.threshold_px,
        },
    )


TASK = Task(
    name="stability",
    title="testing",
    about="The members of every class are aligned several times from random beginnings. A class of one view ends "
    "in the same alignment every time; one that mixes views, or holds nothing, does not.",
    source=ClassesToTest,
    methods={"": StabilityTest},
    prepare=_prepare,
    files=FILES,
    results="stability.star, stability_data.star",
    page=stability_page,
    uses=frozenset({"memory", "threads"}),
    ignores=frozenset({"device", "every"}),
)
run_stability = function_of(TASK)
