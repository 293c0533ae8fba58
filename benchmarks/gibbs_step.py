"""One Gibbs step at the size that the thesis of Joubert (2016, table 3.1) times: K = 500, 25 images, 10,000 counts.

25 projections of RNA polymerase II, 50 x 50 pixels of 4 A, or fewer over the same field; mixture, poses and offsets
are drawn. The chain starts at the true poses with a mixture fitted to the true map, and is timed after a burn-in: the
median over consecutive steps. The thesis does not say how many pixels its images have; 32 x 32 are those of its initial
stage.
The parts are timed on the same states, one after the other: the assignment of all counts to components, mixture
(precision, weights, means), rotations with the missing coordinates. What remains are offsets, log posterior and random
generators. The machine's own rate, a product of two square matrices in float32, is measured in between.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.atomic_scenes import DATA, STRUCTURES, atoms_of, make_scene
from benchmarks.gemm import MACHINE_SIZE
from benchmarks.tables import markdown_table
from vitreous.iterate import run
from vitreous.mixtures import (
    Counts,
    MixtureFit,
    MixturePrior,
    Moves,
    PosedMixture,
    count_images,
    fit_algorithm,
    grid_fit_data,
    projection_step,
)
from vitreous.mixtures.averages import reduce_images
from vitreous.mixtures.gibbs_projections import assign_views, default_prior, draw_mixture, draw_rotations
from vitreous.particles import Volume, open_stack
from vitreous.simulate import volume_from_atoms

COMPONENTS, COUNTS, SEED = 500, 10_000, 20261
ONE = np.eye(3)[None]
MOVES = Moves()
MACHINE_EVERY = 10  # steps
PARTS = ("step", "assignment", "mixture", "rotations")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the atomic models")
    parser.add_argument("--boxes", type=int, nargs="+", default=[50, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--burn-in", type=int, default=200)
    parser.add_argument("--steps", type=int, default=300)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per box and number of threads."""
    rows = []
    for box in options.boxes:
        data, model = _start(options.data, work, box)
        prior = default_prior(data)
        model = _chain(data, model, prior, range(options.burn_in), threads=max(options.threads))
        steps = range(options.burn_in, options.burn_in + options.steps)
        for threads in options.threads:
            sigma = round(model.mixture.sigma_A, 2)
            rows.append({"box_px": box, "sigma_A": sigma, **_timed(data, model, prior, steps, threads)})
            print(rows[-1], flush=True)
    return {
        "components": COMPONENTS,
        "images": len(data.counts),
        "counts": COUNTS,
        "steps": options.steps,
        "rows": rows,
    }


def _start(data: Path, work: Path, box: int) -> tuple[Counts, PosedMixture]:
    structure = STRUCTURES["Pol II"]
    scene = make_scene(data, "Pol II", work, seed=SEED)
    stack = open_stack(scene.averages)
    images = stack.read(np.arange(len(stack))).clip(min=0.0)
    true = volume_from_atoms(atoms_of(data, structure, work), structure.box_px, structure.pixel_size_A, 15.0).numpy()
    target = grid_fit_data(Volume(data=true, pixel_size_A=structure.pixel_size_A), 1e6)
    settings = MixtureFit(components=COMPONENTS, steps=30, tolerance=0.0)
    fitted, _ = run(fit_algorithm(target, settings), seed=SEED)
    model = PosedMixture(mixture=fitted, rotations=scene.rotations, offsets_A=np.zeros((len(images), 2)))
    reduced = reduce_images(images, structure.pixel_size_A, np.zeros((len(images), 2)), box)
    return count_images(reduced.images, reduced.pixel_size_A, COUNTS), model


def _chain(data: Counts, model: PosedMixture, prior: MixturePrior, steps: range, *, threads: int) -> PosedMixture:
    for step in steps:
        model, _ = projection_step(data, model, prior, group=ONE, moves=MOVES, seed=SEED, step=step, threads=threads)
    return model


def _timed(data: Counts, model: PosedMixture, prior: MixturePrior, steps: range, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    left, right = torch.randn(2, MACHINE_SIZE, MACHINE_SIZE)
    spent: dict[str, list[float]] = {part: [] for part in PARTS}
    machine, cpu = [], 0.0
    for step in steps:
        rng = np.random.default_rng(step)
        views, seconds = _clocked(lambda m=model, r=rng: assign_views(data, m, ONE, r, threads=threads))
        spent["assignment"].append(seconds)
        _, seconds = _clocked(lambda v=views, m=model, r=rng: draw_mixture(v, m.mixture, prior, r))
        spent["mixture"].append(seconds)
        _, seconds = _clocked(lambda v=views, m=model, r=rng: draw_rotations(v, m, ONE, r))
        spent["rotations"].append(seconds)
        begin = time.process_time()
        model, seconds = _clocked(lambda m=model, s=step: _chain(data, m, prior, range(s, s + 1), threads=threads))
        spent["step"].append(seconds)
        cpu += time.process_time() - begin
        if step % MACHINE_EVERY == 0:
            machine.append(_clocked(lambda: left @ right)[1])
    medians = {f"{part}_ms": round(1e3 * float(np.median(values)), 2) for part, values in spent.items()}
    return {
        "threads": threads,
        **medians,
        "fastest_step_ms": round(1e3 * min(spent["step"]), 2),
        "cpu_ms": round(1e3 * cpu / len(steps), 2),
        "machine_GFLOPs": round(2e-9 * MACHINE_SIZE**3 / float(np.median(machine)), 1),
    }


def _clocked(call: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    value = call()
    return value, time.perf_counter() - start


def table(figures: dict[str, Any]) -> str:
    """Medians beside those of the thesis."""
    header = (
        *(
            "pixels",
            "sigma (A)",
            "threads",
            "step (ms)",
            "fastest (ms)",
            "CPU (ms)",
            "assignment (ms)",
            "mixture (ms)",
            "rotations (ms)",
        ),
        *("machine GFLOP/s", "thesis (ms)"),
    )
    thesis = "73.9; 47.9 with an approximate exponential"
    names = ("step_ms", "fastest_step_ms", "cpu_ms", "assignment_ms", "mixture_ms", "rotations_ms", "machine_GFLOPs")
    rows = [
        (f"{r['box_px']} x {r['box_px']}", r["sigma_A"], r["threads"], *(r[name] for name in names), thesis)
        for r in figures["rows"]
    ]
    text = (
        f"K = {figures['components']}, {figures['images']} images, "
        f"{figures['counts']:,} counts per image, exact exponential; medians of {figures['steps']} steps."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
