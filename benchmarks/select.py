"""Classes chosen without the user: what `vitreous select --auto` keeps of the good particles, and of the junk.

The data come from `mixed.py` of the scoring scripts beside the project: 70S ribosomes of 64 px at 5 A per pixel in
seven defocus groups, with junk in three equal parts: noise, particles 12 to 20 px off the centre, and two to four
overlapping particles. `class2d` sorts them with its default settings, and `select --auto` chooses, without any setting.
The criteria were made with seed 11, which is not among these.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import program, sticks
from benchmarks.child import run_child
from benchmarks.record import REPOSITORY
from benchmarks.tables import markdown_table
from vitreous.particles import read_star

SEEDS = (21, 22, 23)  # of the data
SCENES: dict[str, dict[str, Any]] = {  # name -> what mixed.py is told, and classes
    "junk": {"n": 5000, "junk": 0.2, "snr": 0.1, "views": 0, "classes": 50},
    "noisy": {"n": 2000, "junk": 0.2, "snr": 0.02, "views": 0, "classes": 20},
    "clean": {"n": 2000, "junk": 0.0, "snr": 0.1, "views": 0, "classes": 20},
    "few": {"n": 300, "junk": 0.2, "snr": 0.1, "views": 0, "classes": 10},
    "views": {"n": 400, "junk": 0.0, "snr": 0.1, "views": 2, "classes": 10},
}
HEADER = (
    *("particles", "junk", "SNR", "K", "seed", "classes kept", "good kept (%)", "junk among the kept (%)"),
    *("outliers: good, junk", "good lost with their class", "CPU s"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of mixed.py")
    sets = [f"{name}-{seed}" for name in SCENES for seed in SEEDS]
    parser.add_argument("--sets", nargs="+", default=sets, metavar="NAME-SEED", help=f"of {', '.join(SCENES)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="classify again what lies classified in bench-out")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per set."""
    rows = []
    for what in options.sets:
        name, _, seed = what.partition("-")
        scene = SCENES[name]
        folder = _classified(options, work / what, scene, int(seed))
        command: list[str | Path] = [*program.PROGRAM, "select", folder, "--auto", "--threads", str(options.threads)]
        cost = run_child(command, folder.with_suffix(".select.log"), threads=options.threads)
        rows.append({"scene": name, "seed": int(seed), **scene, **_score(folder), "cpu_s": cost.figures()["cpu_s"]})
        print(rows[-1], flush=True)
    return {"rows": rows}


def _classified(options: argparse.Namespace, folder: Path, scene: dict[str, Any], seed: int) -> Path:
    """The folder of the classification of a scene, made where it does not lie there."""
    script = REPOSITORY / options.sticks / "mixed.py"
    if not script.is_file():
        raise sticks.NotAvailable(f"the scoring scripts are not at {options.sticks} (mixed.py); give --sticks")
    if not (folder / "truth.star").is_file():
        told = [f"--{key}={scene[key]}" for key in ("n", "junk", "snr", "views")]
        folder.mkdir(parents=True, exist_ok=True)
        run_child([sys.executable, script, "make", folder, *told, "--seed", str(seed)], folder / "make.log")
    done = folder / "class2d" / "RELION_JOB_EXIT_SUCCESS"
    if options.again or not done.is_file():
        program.class2d(
            folder / "particles.star", folder / "class2d", threads=options.threads, classes=scene["classes"]
        )
    return folder / "class2d"


def _score(folder: Path) -> dict[str, Any]:
    """What was kept, against the truth."""
    truth = next(t for t in read_star(folder.parent / "truth.star").values() if "truthKind" in t)
    good = dict(zip(truth.text("rlnImageName"), truth.text("truthKind") == "particle", strict=True))
    chosen = read_star(folder / "class_selection.star")["classes"]
    kept_class = chosen.numbers("vtrSelected") > 0
    tables = {name: read_star(folder / f"{name}.star")["particles"] for name in ("selected", "excluded")}
    is_good = {
        name: np.array([good[_plain(image)] for image in table.text("rlnImageName")], bool)
        for name, table in tables.items()
    }
    label = tables["excluded"].numbers("rlnClassNumber").astype(int)
    outlier = np.r_[False, kept_class][label]
    return {
        "classes_kept": int(kept_class.sum()),
        "classes_filled": int((chosen.numbers("vtrPopulation") > 0).sum()),
        "good_share": round(float(is_good["selected"].sum() / sum(good.values())), 4),
        "junk_share": round(float(1 - is_good["selected"].mean()), 4),
        "good_outliers": int((outlier & is_good["excluded"]).sum()),
        "junk_outliers": int((outlier & ~is_good["excluded"]).sum()),
        "good_lost": int((~outlier & is_good["excluded"]).sum()),
        "reasons": dict(Counter(map(str, chosen.text("vtrReason")))),
    }


def _plain(image: str) -> str:
    """The name of an image without the folder of its stack."""
    frame, _, stack = image.partition("@")
    return f"{frame}@{Path(stack).name}"


def table(figures: dict[str, Any]) -> str:
    """A row for every set."""
    rows = [
        (
            f"{r['n']:,}" + (f", {r['views']} views" if r["views"] else ""), f"{100 * r['junk']:.0f} %", r["snr"],
            r["classes"], r["seed"], f"{r['classes_kept']} of {r['classes_filled']}", f"{100 * r['good_share']:.1f}",
            f"{100 * r['junk_share']:.1f}", f"{r['good_outliers']}, {r['junk_outliers']}", r["good_lost"], r["cpu_s"],
        )
        for r in figures["rows"]
    ]  # fmt: skip
    return markdown_table(HEADER, rows)
