"""ISAC against the truth: junk that is accepted, views in a class, cost; beside class2d and MRA on the same particles.

Mixtures of `mixed.py` (70S ribosome, 64 px, 5 A/px, seven defocus groups): without junk, with a fifth of junk in equal
parts (noise, off centre, aggregates), and two views alone. Settings are the defaults, 100 images per group; below SNR
0.05 a group has 250, since 100 say too little there. class2d and mra (plain K-means) have particles / 100 classes and
accept all particles. *Spread* is the mean angle between viewing directions of two good members of a class, as it is
and with mirror views as equals. CPU seconds are those of the whole process with one thread.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import program, sticks
from benchmarks.real import DATA, STACKS
from benchmarks.record import REPOSITORY
from benchmarks.tables import markdown_table

GROUP, NOISY_GROUP, NOISY = 100, 250, 0.05  # images per group, and where SNR is below the last
VIEWS_GROUP = 200  # of 400 images with two views
KEPT = ("accepted", "classes", "junk_share", "good_share", "by_kind", "pair_deg", "pair_fold_deg")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of mixed.py")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23], help="of the mixtures")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02])
    parser.add_argument("--junk", type=float, nargs="+", default=[0.0, 0.2], help="share of the particles")
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--many", type=int, nargs="*", default=[20_000, 50_000], help="particles, for the cost")
    parser.add_argument("--add", action="store_true", help="to what bench-out/isac.json has: only --many")
    parser.add_argument("--views-snr", type=float, nargs="*", default=[0.1, 0.05], help="of the sets with two views")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rows of mixtures, of two views, of real particles, and of larger numbers of particles."""
    if options.add:
        earlier: dict[str, Any] = json.loads((REPOSITORY / "bench-out" / "isac.json").read_text())["figures"]
        return {**earlier, "many": [*earlier["many"], *_many(options, work)]}
    mixtures, views = [], []
    for snr in options.snr:
        for junk in options.junk:
            for seed in options.seeds:
                data = _mixture(options, work, n=options.particles, snr=snr, junk=junk, seed=seed)
                mixtures += [{"snr": snr, "junk": junk, "seed": seed, **row} for row in _programs(options, data, snr)]
                print(*mixtures[-3:], sep="\n", flush=True)
    for snr in options.views_snr:
        for seed in options.seeds:
            data = _mixture(options, work, n=400, snr=snr, junk=0.0, views=2, seed=seed)
            folder = data / "isac"
            cost = program.job("isac", data / "particles.star", folder, img_per_grp=VIEWS_GROUP)
            score = sticks.score_accepted(options.sticks, data, folder / "isac_data.star") if _any(folder) else {}
            views.append({"snr": snr, "seed": seed, **_kept(score, "view_purity"), **cost.figures()})
            print(views[-1], flush=True)
    real = _real(options, work)
    many = _many(options, work)
    return {"particles": options.particles, "mixtures": mixtures, "views": views, "many": many, "real": real}


def _many(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    """Whole jobs of more particles: a fifth junk, SNR 0.1, the first seed."""
    rows = []
    for particles in options.many:
        data = _mixture(options, work, n=particles, snr=0.1, junk=0.2, seed=options.seeds[0])
        rows.append({"particles": particles, **_isac(options, data, particles, GROUP)})
        print(rows[-1], flush=True)
    return rows


def _mixture(options: argparse.Namespace, work: Path, **settings: Any) -> Path:
    name = "-".join(f"{word}{value:g}" for word, value in settings.items())
    return sticks.make_mixture(options.sticks, work / name, **settings)


def _programs(options: argparse.Namespace, data: Path, snr: float) -> list[dict[str, Any]]:
    """ISAC, and class2d and plain K-means with particles / 100 classes."""
    rows = [_isac(options, data, options.particles, NOISY_GROUP if snr < NOISY else GROUP)]
    for name in ("class2d", "mra"):
        cost = program.job(name, data / "particles.star", data / name, classes=options.particles // GROUP)
        score = sticks.score_accepted(options.sticks, data, data / name / "run_data.star")
        rows.append({"program": name, **_kept(score), **cost.figures()})
    return rows


def _isac(options: argparse.Namespace, data: Path, particles: int, group: int) -> dict[str, Any]:
    folder = data / "isac"
    cost = program.job("isac", data / "particles.star", folder, img_per_grp=group)
    score = sticks.score_accepted(options.sticks, data, folder / "isac_data.star") if _any(folder) else {}
    ends = _ends(folder)
    tried, taken = 0, 0  # particles that were in a generation, over all generations
    for row in ends:
        tried, taken = tried + particles - taken, row["accepted"]
    return {"program": "ISAC", **_kept(score), "generations": len(ends), "tried": tried, **cost.figures()}


def _ends(folder: Path) -> list[dict[str, Any]]:
    """What was said at the end of every generation."""
    return [row for row in program.history(folder) if "new_particles" in row]


def _any(folder: Path) -> bool:
    """Whether anything was accepted."""
    return (folder / "accounted.star").is_file()


def _kept(score: dict[str, Any], *more: str) -> dict[str, Any]:
    return {name: score.get(name) for name in (*KEPT, *more)}


def _real(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    rows = []
    for name, (file, diameter_A, _) in STACKS.items():
        star = REPOSITORY / options.data / file
        if not star.is_file():
            raise sticks.NotAvailable(f"the real particles are not at {options.data / file}; give --data")
        folder = work / star.stem
        cost = program.job("isac", star, folder, img_per_grp=50, particle_diameter_A=diameter_A)
        ends = _ends(folder)
        found = {"generations": len(ends), "classes": ends[-1]["classes"], "accepted": ends[-1]["accepted"]}
        particles = json.loads((folder / "job.json").read_text())["summary"]["particles"]
        rows.append({"stack": name, "particles": particles, **found, **cost.figures()})
        print(rows[-1], flush=True)
    return rows


def table(figures: dict[str, Any]) -> str:
    """Mixtures, two views, real particles, and what larger numbers of particles cost."""
    return "\n\n".join((_mixtures(figures), _views(figures), _real_table(figures), _cost(figures)))


def _mixtures(figures: dict[str, Any]) -> str:
    header = (
        *("program", "SNR", "junk in the data", "seed", "accepted", "classes", "junk among them", "of the good"),
        *("spread", "mirrors folded", "CPU s", "wall s", "peak MB"),
    )
    rows = [
        (
            *(r["program"], f"{r['snr']:g}", f"{r['junk']:.0%}", r["seed"], r["accepted"], r["classes"]),
            *(_share(r["junk_share"]), _share(r["good_share"]), r["pair_deg"], r["pair_fold_deg"]),
            *(r["cpu_s"], r["wall_s"], r["peak_MB"]),
        )
        for r in sorted(figures["mixtures"], key=lambda r: (-r["snr"], r["junk"], r["program"], r["seed"]))
    ]
    return f"{figures['particles']:,} particles.\n\n{markdown_table(header, rows)}"


def _views(figures: dict[str, Any]) -> str:
    rows = [
        (f"{r['snr']:g}", r["seed"], r["classes"], r["accepted"], _share(r["view_purity"]), r["cpu_s"])
        for r in figures["views"]
    ]
    header = ("SNR", "seed", "classes", "accepted", "members of the majority's view", "CPU s")
    text = f"Two views in equal numbers, 400 images, {VIEWS_GROUP} per group."
    return f"{text}\n\n{markdown_table(header, rows)}"


def _real_table(figures: dict[str, Any]) -> str:
    rows = [
        (r["stack"], r["particles"], r["generations"], r["classes"], r["accepted"], r["cpu_s"]) for r in figures["real"]
    ]
    header = ("real particles, 50 per group", "particles", "generations", "classes", "accepted", "CPU s")
    return markdown_table(header, rows)


def _cost(figures: dict[str, Any]) -> str:
    small = [{"particles": figures["particles"], **r} for r in figures["mixtures"]
             if (r["program"], r["snr"], r["junk"]) == ("ISAC", 0.1, 0.2)]  # fmt: skip
    rows = [
        (f"{r['particles']:,}", r["generations"], r["cpu_s"], round(1000 * r["cpu_s"] / r["tried"], 2), r["peak_MB"])
        for r in (*small, *figures["many"])
    ]
    header = (
        "particles (SNR 0.1, a fifth junk)",
        "generations",
        "CPU s",
        "CPU ms per particle and generation",
        "peak MB",
    )
    return f"SNR 0.1, a fifth junk.\n\n{markdown_table(header, rows)}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"
