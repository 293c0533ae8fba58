"""Initial models of simulated averages with unknown poses, against the truth; the figures of Joubert's thesis (2016).

Averages are simulated as its chapters 3 and 5 say: 25 projections of RNA polymerase II (1WCM without Rpb4/7) and of the
50S ribosome in random directions at 15 A, without noise, or for Pol II also with white noise at SNR 10. The thesis has
real images of GroEL, ours are simulated (two rings of 1OEL, D7, 13 averages, no noise), so that row is easier here. Its
phantom is not shown: images and map belong to Jaitly et al. (2010). Its 50S is 1VOR, ours the large subunit of *T.
thermophilus*. Every row is one run of `vitreous initial averages.mrcs` with its report; data seeds and `--seed` are the
same number. A pose is right within 20 degrees of the truth after one rotation for all, in either hand; the correlation
is over the whole box, with the true map at the resolution that the thesis compares with, and so is FSC = 0.5.
"""

import argparse
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.atomic_scenes import DATA, STRUCTURES, make_scene
from benchmarks.initial_program import command, model_figures, poses_figures, stage_seconds
from benchmarks.tables import markdown_table


@dataclass(frozen=True, kw_only=True)
class Case:
    """One kind of data and how it is given to the program; ``thesis``: what was printed there."""

    structure: str
    seeds: int  # of those that are asked for
    thesis: str
    method: str = "gmm"
    snr: float | None = None
    options: tuple[str, ...] = ()


CASES = {
    "Pol II": Case(structure="Pol II", seeds=4, thesis="2 of 4 restarts right, 100 s per restart"),
    "50S": Case(
        structure="50S",
        seeds=1,
        thesis="CC 0.990, 15.9 A",
        options=("--fine-components", "2000", "--fine-box-px", "80", "--fine-counts", "20000"),
    ),
    "GroEL, D7": Case(structure="GroEL", seeds=3, thesis="real images: CC 0.927, 17.5 A, 13 min"),
    "Pol II, SNR 10": Case(structure="Pol II", seeds=3, thesis="14.1 A, 37 + 21 min", method="gmm-gaussian", snr=10.0),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the atomic models")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[20261, 20262, 20263, 20264])
    parser.add_argument("--threads", type=int, default=2)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per case and seed."""
    rows = []
    for name in options.cases:
        for seed in options.seeds[: CASES[name].seeds]:
            rows.append({"case": name, "seed": seed, **_one(CASES[name], seed, options, work)})
            print(rows[-1], flush=True)
    return {"threads": options.threads, "rows": rows}


def _one(case: Case, seed: int, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    structure = STRUCTURES[case.structure]
    folder = work / f"{case.structure.replace(' ', '-')}-{case.method}-{seed}"
    scene = make_scene(options.data, case.structure, folder, seed=seed, snr=case.snr)
    words = ["--method", case.method, "--symmetry", structure.symmetry, "--seed", str(seed), *case.options]
    cost = command("initial", scene.averages, folder / "initial", threads=options.threads, options=words)
    model = model_figures(folder / "initial", scene.truth)
    return {
        "averages": structure.images,
        "box_px": structure.box_px,
        **poses_figures(folder / "initial", scene.rotations, structure.symmetry),
        **model,
        **stage_seconds(folder / "initial", restarts=model["restarts"], threads=options.threads),
        **cost.figures(),
    }


def table(figures: dict[str, Any]) -> str:
    """Means over the seeds beside what the thesis has, then every run."""
    cases = defaultdict(list)
    for row in figures["rows"]:
        cases[row["case"]].append(row)
    header = (
        *("averages", "method", "seeds", "restarts with all poses right", "all right after refinement", "CC"),
        *("FSC 0.5 (A)", "s per restart", "refinement (s)", "whole job: wall s", "CPU s", "peak MB", "thesis"),
    )
    text = (
        f"{figures['threads']} threads; a restart runs on one of them. Four restarts per run. Means over the seeds; "
        "for the resolution in brackets the worst."
    )
    summary = markdown_table(header, [_summary(name, rows) for name, rows in cases.items()])
    single = markdown_table(
        ("averages", "seed", "poses right by restart (%)", "CC", "other hand", "FSC 0.5 (A)", "wall s", "CPU s"),
        [_run(row) for row in figures["rows"]],
    )
    return f"{text}\n\n{summary}\n\n{single}"


def _summary(name: str, rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    def mean(figure: str, digits: int) -> float:
        return round(float(np.mean([row[figure] for row in rows])), digits)

    resolutions = [row["resolution_A"] for row in rows]
    if None in resolutions:
        resolution = f"not reached by {resolutions.count(None)} of {len(rows)}"
    else:
        resolution = f"{np.mean(resolutions):.1f}" + (f" ({max(resolutions):.1f})" if len(rows) > 1 else "")
    images = f"{name}: {rows[0]['averages']} of {rows[0]['box_px']} x {rows[0]['box_px']}"
    return (
        *(images, CASES[name].method, len(rows)),
        f"{sum(row['restarts_right'] for row in rows)} of {sum(row['restarts'] for row in rows)}",
        f"{sum(row['poses_right_refined'] == 1.0 for row in rows)} of {len(rows)}",
        *(mean("correlation", 4), resolution, mean("restart_s", 1), mean("refinement_s", 1), mean("wall_s", 1)),
        *(mean("cpu_s", 1), max(row["peak_MB"] for row in rows), CASES[name].thesis),
    )


def _run(row: dict[str, Any]) -> tuple[Any, ...]:
    shares = ", ".join(f"{100 * share:.0f}" for share in row["poses_right_by_restart"])
    return (
        *(row["case"], row["seed"], shares, row["correlation"], row["other_hand_correlation"], row["resolution_A"]),
        *(row["wall_s"], row["cpu_s"]),
    )
