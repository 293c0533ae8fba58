"""What a second process gains: class2d and neighbours by one and by two processes, beside one process of two threads.

The same data and settings three ways, in turns, so that other work on the machine meets all of them alike; the best of
the turns counts. Time in passes is what the job records for its iterations; the rest is the start (which two processes
do twice), reading, final averages and files.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.child import Cost, run_child
from benchmarks.tables import markdown_table

WAYS = ((1, 1), (1, 2), (2, 1))  # processes, threads of each
PASSES = {"class2d": ("--iterations",), "neighbours": ("--runs", "1", "--passes")}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per method, number of processes and threads."""
    star = program.simulate(
        work / f"data-{options.particles}-{options.box}",
        particles=options.particles,
        box_px=options.box,
        pixel_size_A=320 / options.box,
        snr=0.1,
    )
    rows = []
    for method, passes in PASSES.items():
        words = [method, star, "--classes", options.classes, *passes, options.iterations]
        words += ["--subset", options.particles] if method == "class2d" else []
        best: dict[tuple[int, int], dict[str, Any]] = {}
        for _ in range(options.turns):
            for way in WAYS:
                row = {"method": method, **_one(work / f"{method}-{way[0]}-{way[1]}", words, *way)}
                best[way] = min(best.get(way, row), row, key=lambda r: r["passes_s"])
                print(row, flush=True)
        rows += [best[way] for way in WAYS]
    return {"particles": options.particles, "box_px": options.box, "turns": options.turns, "rows": rows}


def _one(folder: Path, words: list[Any], processes: int, threads: int) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    start = [sys.executable] if processes == 1 else [sys.executable, "-m", "torch.distributed.run"]
    start += [] if processes == 1 else ["--standalone", "--nproc-per-node", str(processes)]
    cost: Cost = run_child(
        [*start, "-m", "vitreous", *map(str, words), "-o", folder, "--threads", str(threads)],
        folder.with_suffix(".log"),
        threads=threads,
    )
    told = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {
        "processes": processes,
        "threads": threads,
        "passes_s": round(sum(entry["seconds"] for entry in told), 2),
        "wall_s": round(cost.wall_s, 1),
        "cpu_s": round(cost.cpu_s, 1),
    }


def table(figures: dict[str, Any]) -> str:
    """All ways, with their gain in passes over one process of one thread."""
    header = ("method", "processes", "threads each", "passes (s)", "gain", "all (wall s)", "all (CPU s)")
    alone = {r["method"]: r["passes_s"] for r in figures["rows"] if (r["processes"], r["threads"]) == (1, 1)}
    rows = [
        (
            *(r["method"], r["processes"], r["threads"], r["passes_s"]),
            *(f"{alone[r['method']] / r['passes_s']:.2f}", r["wall_s"], r["cpu_s"]),
        )
        for r in figures["rows"]
    ]
    text = (
        f"{figures['particles']:,} particles of {figures['box_px']} pixels, SNR 0.1; best of {figures['turns']} turns."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
