"""The methods of :mod:`vitreous.structures.from_averages` as an ``initial`` job, alone or all with the Bayesian one."""

import resource
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.jobs.history import read_history
from vitreous.jobs.results.initial import write_initial
from vitreous.jobs.results.methods import costs_of, write_methods
from vitreous.jobs.task import Outcome, Prepared
from vitreous.mixtures import (
    GaussianInitialModel,
    InitialModel,
    gaussian_initial_model,
    initial_model,
)
from vitreous.particles import ParticleSet
from vitreous.quality import warn_if_one_view
from vitreous.randomness import generator
from vitreous.rotations import symmetry_matrices
from vitreous.structures.from_averages import (
    CONTROLS,
    AllMethods,
    Fit,
    FromAverages,
    FromAveragesResult,
    FromAveragesState,
    Method,
    MethodModel,
    Views,
    prepare_algorithm,
)
from vitreous.words import counted

__all__ = ["AGREEING", "prepare_from_averages"]

AGREEING = 0.5  # of the poses, beyond chance, that another restart shares with the best one

Compare = Callable[[Path, Any], tuple[dict[str, Any], list[str]]]  # a map with a reference: figures and sentences


def prepare_from_averages(
    found: ParticleSet,
    images: np.ndarray,
    signed: bool,
    settings: FromAverages,
    *,
    name: str,
    threads: int,
    compare: Compare,
    warnings: tuple[str, ...],
) -> Prepared[FromAveragesState, FromAveragesResult]:
    """The job laid out. name: of the method; signed: whether the averages have negative pixels."""
    others = []
    if isinstance(settings, AllMethods) and settings.bayesian:
        others.append(lambda views: _bayesian(views, images, found.pixel_size_A, settings, threads, signed=signed))
    algorithm, views, methods = prepare_algorithm(
        images.astype(np.float32), found.pixel_size_A, settings, others=others
    )
    starts = CONTROLS + sum(settings.restarts + one.by_chance for one in methods)
    box, pixel = found.box_px, found.pixel_size_A
    return Prepared(
        settings=settings,
        inputs=(found.path,),
        algorithm=replace(algorithm, step=_measured(algorithm)),
        state=FromAveragesState,
        steps=starts,
        write=lambda folder, result, state: _write(folder, result, found, images, settings, compare),
        remark=_remark,
        screen=(
            f"data     {found.path}: {len(found):,} averages, {box} x {box} pixels, {pixel:g} Å/pixel",
            f"settings {name}, symmetry {settings.symmetry}, {counted(settings.restarts, 'restart')} and a scrambled "
            f"one of {', '.join(one.name for one in methods)}; particle "
            f"{views.data.preparation.particle_diameter_A:.0f} Å, "
            f"{views.rings} rings to {views.window_A / views.rings:.1f} Å, seed {settings.seed}",
        ),
        warnings=warnings,
        plan={"averages": len(found)},
    )


def _measured(algorithm: Algorithm[FromAveragesState, FromAveragesResult]) -> Callable[[FromAveragesState], Any]:
    """Steps that log what they cost."""

    def step(state: FromAveragesState) -> tuple[FromAveragesState, Mapping[str, Any]]:
        before = time.process_time()
        _forget_peak()
        following, info = algorithm.step(state)
        return following, {**info, "cpu_s": round(time.process_time() - before, 2), "peak_MB": round(_peak_MB())}

    return step


def _forget_peak() -> None:
    """Where the system can do so, what the process has taken before does not count any more."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_MB() -> float:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    kept = [line for line in lines if line.startswith("VmHWM:")]
    return int(kept[0].split()[1]) / 1024 if kept else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _remark(info: Mapping[str, Any]) -> str:
    start = "scrambled averages" if info["start"] < 0 else f"start {info['start'] + 1}"
    return (
        f"{info['method']}, {start}: averages that were left out correlate by {info['held_out_correlation']:.3f}, "
        f"{info['cpu_s']:.1f} CPU s"
    )


def _bayesian(
    views: Views, images: np.ndarray, pixel_size_A: float, settings: FromAverages, threads: int, *, signed: bool
) -> Method:
    """The mixture's sampling as a method: poses of one restart and its refinement, with its usual settings."""

    def start(given: Views, seed: int, number: int) -> Fit:
        own = int(generator(seed, "mixture", index=number).integers(2**31))
        common: dict[str, Any] = {"symmetry": settings.symmetry, "restarts": 1, "seed": own}
        if signed:
            gaussian = GaussianInitialModel(**common)
            result = gaussian_initial_model(images, pixel_size_A, gaussian, threads=threads)
        else:
            result = initial_model(images, pixel_size_A, InitialModel(**common), threads=threads)
        return Fit(rotation=result.rotations, origin_A=result.origins_A - views.moved_A)

    return Method(name="gmm-gaussian" if signed else "gmm", start=start, by_chance=False)


def _write(
    folder: Path,
    result: FromAveragesResult,
    averages: ParticleSet,
    images: np.ndarray,
    settings: FromAverages,
    compare: Compare,
) -> Outcome:
    correlation = write_initial(folder, result.model, averages, images)  # type: ignore[arg-type]
    costs = costs_of(read_history(folder))
    group = symmetry_matrices(settings.symmetry).double().numpy()
    write_methods(folder, result.methods, result.best, images, averages.pixel_size_A, costs, group)
    figures, against = compare(folder, result.model.mean)
    views = warn_if_one_view(images, result.model.rotations, settings.symmetry)
    doubtful = _not_to_be_trusted(result, views)
    best = result.chosen
    lines = [
        f"{_agreement(result, settings.restarts)}; score {best.score.score:.3f}"
        + (f"; not to be trusted: {'; '.join(doubtful)}" if doubtful else ""),
        "hand     not determined by averages: initial_other_hand.mrc explains them equally well",
        *(f"method   {_row(one, costs)}" for one in sorted(result.methods, key=lambda one: -one.score.score)),
        *([f"note     {views}"] if views else []),
        *(f"against  {text}" for text in against),
    ]
    summary = {
        "averages": len(averages),
        "best_method": best.method,
        "score": round(best.score.score, 4),
        "beyond_chance": round(best.score.beyond, 2),
        "restarts_agreeing": result.model.restarts_agreeing,
        "mean_correlation_with_averages": round(float(correlation.mean()), 4),
        "views_along_one_axis": views is not None,
        **({"not_to_be_trusted": doubtful} if doubtful else {}),
        **figures,
    }
    return Outcome(words="\n".join(lines), summary=summary, messages=(*([views] if views else []), *against))


def _agreement(result: FromAveragesResult, restarts: int) -> str:
    name = result.chosen.method
    if restarts == 1:
        return f"a single start of {name}"
    return f"{result.model.restarts_agreeing} of {restarts} restarts of {name} agree"


def _row(one: MethodModel, costs: Mapping[str, tuple[float, float]]) -> str:
    seconds = costs.get(one.method, (0.0, 0.0))[0]
    shared = f"restarts share {max(one.agreeing, 0):.0%} of their poses beyond chance"
    alone = len(one.agreements) == 1
    return f"{one.method}: score {one.score.score:.3f}, {'a single restart' if alone else shared}, {seconds:.1f} CPU s"


def _not_to_be_trusted(result: FromAveragesResult, views: str | None) -> list[str]:
    """What the headline warns of. No model is claimed unless averages are predicted and a second start agrees."""
    best, found = result.chosen, []
    if views is not None:
        found.append("the structure (all views are from one direction)")
    if not best.score.claimed:
        found.append("the model (it predicts averages no better than chance does)")
    others = [one.beyond_chance for i, one in enumerate(best.agreements) if i != best.best]
    if not others:
        found.append("the model (a single restart: none could agree)")
    elif max(others) < AGREEING:
        found.append("the model (no other restart agrees)")
    return found
