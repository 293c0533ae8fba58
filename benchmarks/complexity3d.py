"""Operations, rates, time and memory of 3D passes: against the formula of the textbook, GEMM, particles and pixels.

Simulated 70S ribosomes (320 A wide boxes, SNR 0.1) in processes of their own with one thread. *refine* starts from
poses that are wrong by 3 degrees and 2 A, at a fixed resolution, so that all its passes do the same per particle;
*abinitio* makes two passes of one start and then poses all particles. CPU seconds by stage; peak memory is that of the
process.

Operations are counted where they are done. Ab initio: 8 per ring and harmonic for the products and two per rotation and
harmonic for the synthesis, for every image, direction and shift of the grids that the pass reports, as in `gemm`.
Refinement: 240 for every point of a half circle in every evaluation of likelihood, gradient and 5 x 5 matrix, and 100
for every point and pose that is inserted (both counted in the source of the loops; sine and cosine as one each).
The formulas are those of F. Sigworth's lecture 4b: (pi^3 / 8) t^2 n^5 N for all orientations of N images of n pixels at
t shifts along each axis, pi n^4 + N n^2 for the reconstruction; n is taken as the pixels of the box, and as twice the
rings in use, which is the box that this resolution needs.
"""

import argparse
import json
import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks import program
from benchmarks.child import run_child
from benchmarks.gemm import MACHINE_SIZE, operations
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.iterate import Algorithm
from vitreous.particles import ParticleSet, read_particles
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, prepare_run
from vitreous.structures.refine import Refine, local, prepare_refinement, task
from vitreous.volumes import RingPoints

FIELD_A, SNR, SHIFT_PX = 320.0, 0.1, 2.0
MAP = REPOSITORY.parent / "shared" / "data" / "maps" / "ribosome70S_65.mrc"
LIMIT_A = {64: 17.5, 128: 7.2}  # of refinement: 18 and 44 rings
PER_POINT, PER_INSERTION = 240, 100  # operations
PASSES_3D, CORES, MANY = 12, 16, 100_000  # of the projection: passes of a refinement, all at the finest resolution


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, nargs="+", default=[1000, 10_000], help="of 64 pixels, refinement")
    parser.add_argument("--posed", type=int, nargs="+", default=[1000, 5000], help="of 64 pixels, ab initio")
    parser.add_argument("--fine", type=int, nargs="+", default=[500, 2000], help="of 128 pixels, refinement")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The rate of the machine before and after, and a row per method and number of particles."""
    if not MAP.is_file():
        raise NotAvailable(f"the map is not at {MAP}")
    runs = [("abinitio", n, 64) for n in options.posed] + [("refine", n, 64) for n in options.particles]
    runs += [("refine", n, 128) for n in options.fine]
    rows = []
    for method, n, box in runs:
        most = max(count for _, count, side in runs if side == box)
        star = program.simulate(
            work.parent / "simulated3d" / f"{most}-{box}",
            particles=most, box=box, pixel_size=FIELD_A / box, snr=SNR, seed=77, map=MAP,
        ).with_name("truth.star")  # fmt: skip
        found = _one(method, star, n, work / f"{method}-{n}-{box}")
        rows.append({"method": method, "particles": n, "box_px": box, **found})
        print(rows[-1], flush=True)
    return {"rows": rows}


def _one(method: str, star: Path, count: int, folder: Path) -> dict[str, Any]:
    """The first ``count`` particles of a file in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = [sys.executable, "-m", "benchmarks.complexity3d", method, star.resolve(), str(count), folder / "found.json"]
    cost = run_child(words, folder / "run.log", cwd=REPOSITORY, threads=1)
    return {**json.loads((folder / "found.json").read_text()), **cost.figures()}


def machine_rate(seconds: float = 1.0) -> float:
    """GFLOP per CPU second of the fastest of many products of two matrices, float32."""
    left, right = torch.randn(2, MACHINE_SIZE, MACHINE_SIZE)
    best, end = math.inf, time.process_time() + seconds
    while time.process_time() < end:
        start = time.process_time()
        _ = left @ right
        best = min(best, time.process_time() - start)
    return 2.0 * MACHINE_SIZE**3 / best / 1e9


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    value = function()
    return value, time.process_time() - start


def _stages(
    algorithm: Algorithm[Any, Any], prepare: Callable[[], Any], evaluations: Sequence[int] = ()
) -> dict[str, Any]:
    """CPU seconds of the stages of a run, and what its passes say, with the sum of evaluations so far."""
    _, prepared = _timed(prepare)
    state, begun = _timed(lambda: algorithm.init(0))
    passes = []
    while not algorithm.done(state):
        (state, info), seconds = _timed(lambda state=state: algorithm.step(state))
        passes.append({**info, "cpu_s": seconds, "evaluations": sum(evaluations)})
    before_end = _peak_MB()
    _, ended = _timed(lambda: algorithm.finalise(state))
    return {"prepare_s": prepared, "init_s": begun, "passes": passes, "final_s": ended, "peak_MB": before_end}


def _peak_MB() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _abinitio(particles: ParticleSet) -> dict[str, Any]:
    run = prepare_run(particles, Abinitio(starts=1, iterations=2, subset=len(particles)), threads=1)
    with torch.no_grad():
        run.algorithm.step(run.algorithm.init(1))  # kernels are loaded
        found = _stages(run.algorithm, lambda: None)
    info, data = found["passes"][-1], run.data()
    plan = data.search(info["rings"], run.plan.offset_range_A)
    scores = info["batch_size"] * info["directions"] * info["shifts"]
    done = scores * operations(plan.fine)
    box = particles.box_px
    return {
        "rings": info["rings"],
        "images": info["batch_size"],
        "pass_cpu_s": info["cpu_s"],
        "passes_MB": found["peak_MB"],
        "all_posed_cpu_s": found["final_s"],
        "scores": scores * plan.fine.n_psi,
        "operations": done,
        "textbook_box": textbook(box, info["batch_size"]),
        "textbook_rings": textbook(2 * info["rings"], info["batch_size"], SHIFT_PX * 2 * info["rings"] / box),
        "GFLOPs": done / info["cpu_s"] / 1e9,
        "machine_GFLOPs": machine_rate(),
    }


def _refine(particles: ParticleSet) -> dict[str, Any]:
    truth, n = Poses.from_particles(particles), len(particles)
    random = np.random.default_rng(1)
    wrong = Rotation.from_rotvec(random.normal(0, np.deg2rad(2), (n, 3))).as_matrix()
    poses = replace(truth, rotation=truth.rotation @ wrong, origin_A=truth.origin_A + random.normal(0, 1.5, (n, 2)))
    limit = LIMIT_A[particles.box_px]
    settings = Refine(initial_lowpass_A=limit, resolution_limit_A=limit, iterations=2, search="never")
    warm = prepare_refinement(particles.subset(np.arange(200)), settings, poses=poses.take(slice(0, 200)), threads=1)
    task.RINGS_AT_START = math.floor(warm.window_A / limit + 1e-6) + 1  # prepared at once, as it is after some passes
    evaluations = _counted()
    with torch.no_grad():
        warm.algorithm.step(warm.algorithm.init(0))  # kernels are loaded
        run = prepare_refinement(particles, settings, poses=poses, threads=1)
        rings = math.floor(run.window_A / limit + 1e-6)
        before = sum(evaluations)
        found = _stages(run.algorithm, lambda: run.data(task.RINGS_AT_START), evaluations)
        counted = found["passes"][-1]["evaluations"] - before
    points = len(RingPoints(basis=run.data(task.RINGS_AT_START).basis.truncated(rings)).ring)
    seconds = sum(p["cpu_s"] for p in found["passes"])
    done = points * (PER_POINT * counted + PER_INSERTION * n * len(found["passes"]))
    return {
        "rings": rings,
        "images": n,
        "points": points,
        "evaluations": counted / n / len(found["passes"]),
        "prepare_cpu_s": found["prepare_s"],
        "init_cpu_s": found["init_s"],
        "pass_cpu_s": seconds / len(found["passes"]),
        "passes_MB": found["peak_MB"],
        "final_cpu_s": found["final_s"],
        "operations": done / len(found["passes"]),
        "textbook_box": textbook(particles.box_px, n),
        "textbook_rings": textbook(2 * rings, n, SHIFT_PX * 2 * rings / particles.box_px),
        "GFLOPs": done / seconds / 1e9,
        "machine_GFLOPs": machine_rate(),
    }


def _counted() -> list[int]:
    """How often poses have been evaluated from now on, call by call."""
    counts: list[int] = []
    ascend = local.ascend

    def counting(*arguments: Any) -> int:
        counts.append(int(ascend(*arguments)))
        return counts[-1]

    local.ascend = counting
    return counts


def textbook(n: float, images: int, shift_px: float = SHIFT_PX) -> dict[str, float]:
    """The two parts of the formula; t is the number of shifts along an axis."""
    t = 2 * shift_px + 1
    return {"search": math.pi**3 / 8 * t**2 * n**5 * images, "reconstruction": math.pi * n**4 + images * n**2}


def table(figures: dict[str, Any]) -> str:
    """Operations; time and memory; the projection."""
    parts = [
        ("Operations of one pass, and their rate against that of a matrix product in the same process:", _rates_table),
        ("CPU seconds, milliseconds per particle, and memory:", _time_table),
    ]
    texts = [f"{text}\n\n{make(figures['rows'])}" for text, make in parts]
    return "\n\n".join([*texts, _projection(figures["rows"])])


def _rates_table(rows: list[dict[str, Any]]) -> str:
    header = (
        *("method", "box (px)", "images", "rings", "score evaluations per image", "operations"),
        *(
            "search formula, box",
            "twice the rings",
            "reconstruction formula, box",
            "GFLOP/s",
            "matrix product",
            "ratio",
        ),
    )
    return markdown_table(
        header,
        [
            (
                *(r["method"], r["box_px"], f"{r['images']:,}", r["rings"]),
                f"{r['scores'] / r['images']:,.0f}" if "scores" in r else f"{r['evaluations']:.1f} with gradient",
                f"{r['operations']:.1e}",
                *(f"{r['textbook_box']['search']:.1e}", f"{r['textbook_rings']['search']:.1e}"),
                f"{r['textbook_box']['reconstruction']:.1e}",
                *(f"{r['GFLOPs']:.1f}", f"{r['machine_GFLOPs']:.0f}", f"{r['GFLOPs'] / r['machine_GFLOPs']:.0%}"),
            )
            for r in rows
        ],
    )


def _time_table(rows: list[dict[str, Any]]) -> str:
    header = (
        *("method", "box (px)", "particles", "rings", "prepare (ms per particle)", "pass (s)", "pass (ms per image)"),
        *("end (ms per particle)", "all (CPU s)", "peak MB in passes", "peak MB"),
    )

    def each(seconds: float | None, count: int) -> str | None:
        return None if seconds is None else f"{1e3 * seconds / count:.3g}"

    return markdown_table(
        header,
        [
            (
                *(r["method"], r["box_px"], f"{r['particles']:,}", r["rings"]),
                each(r.get("prepare_cpu_s"), r["particles"]),
                f"{r['pass_cpu_s']:.2f}",
                each(r["pass_cpu_s"], r["images"]),
                each(r.get("final_cpu_s", r.get("all_posed_cpu_s")), r["particles"]),
                *(f"{r['cpu_s']:.0f}", f"{r['passes_MB']:,.0f}", f"{r['peak_MB']:,.0f}"),
            )
            for r in rows
        ],
    )


def _line(rows: list[dict[str, Any]], name: str, count: int) -> float:
    """CPU seconds of ``count`` particles by the straight line through the fewest and the most that were measured."""
    few, many = (f(rows, key=lambda r: r["particles"]) for f in (min, max))
    slope = (many[name] - few[name]) / max(many["particles"] - few["particles"], 1)
    return float(many[name] + slope * (count - many["particles"]))


def _projection(rows: list[dict[str, Any]]) -> str:
    """Not measured: 10^5 particles of 128 pixels from what fewer of them have cost."""
    fine = [r for r in rows if (r["method"], r["box_px"]) == ("refine", 128)]
    first = [r for r in rows if r["method"] == "abinitio"]
    parts = {
        "preparing twice": 2 * _line(fine, "prepare_cpu_s", MANY),  # again when rings are added
        f"{PASSES_3D} passes, all at {FIELD_A / fine[0]['rings']:.1f} A": PASSES_3D * _line(fine, "pass_cpu_s", MANY),
        "the end": _line(fine, "final_cpu_s", MANY),
        "posing all particles ab initio": _line(first, "all_posed_cpu_s", MANY),
    }
    words = ", ".join(f"{name} {seconds:,.0f}" for name, seconds in parts.items())
    total = sum(parts.values())
    return (
        f"**A projection, not a measurement**: by straight lines through these, {MANY:,} particles of 128 pixels cost "
        f"{total:,.0f} CPU s ({words}; and the passes of ab initio, which see a part of the particles). On {CORES} "
        f"cores that share the work without loss this is {total / CORES / 60:.0f} minutes."
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    WORK = {"abinitio": _abinitio, "refine": _refine}
    chosen = read_particles(Path(sys.argv[2])).subset(np.arange(int(sys.argv[3])))
    Path(sys.argv[4]).write_text(json.dumps(WORK[sys.argv[1]](chosen)))
