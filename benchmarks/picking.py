"""Particles found in micrographs by our filters, by RELION's templates and by plain correlation; and in noise.

AP is the area under the precision-recall curve of all candidates sorted by score, at a quarter of the diameter
(`picks_score.py` of the scoring scripts). F1, precision and recall are those of the picks at the default threshold;
best F1 that at the threshold which the truth likes most. Others have no threshold that means the same, and are given
the best one. The published picks of the real 80S micrographs are incomplete, so that no picker reaches 1 there.
Templates of real sets are class averages of `vitreous class2d` from particles of these micrographs, those of simulated
sets 20 projections of the map; all but a ball have the same ones, in 36 rotations. Settings are the defaults; they were
fixed on simulated micrographs of other seeds, and on the first ones of the real sets. RELION's templates are sensitive
to their greyscale and low-pass; of three greyscales that which is best on the first micrograph was taken, and one
low-pass. So its rows are lower bounds: with settings sought by hand for each set it once reached 0.78 on the real
80S and 0.89 on apoferritin.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len

from benchmarks.child import run_child
from benchmarks.picking_peers import GREYS, correlated, relion_picks, relion_version
from benchmarks.record import REPOSITORY
from benchmarks.sticks import DEFAULT, NotAvailable, stick_module
from benchmarks.tables import markdown_table
from vitreous.averages.class2d import Class2D
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.class2d import run_class2d
from vitreous.micrographs import (
    Bank,
    ListedMicrograph,
    Pick,
    ball_templates,
    image_templates,
    list_micrographs,
    pick_micrograph,
    projection_templates,
    read_micrograph,
    rotated_bank,
    working_pixel_A,
)
from vitreous.micrographs.templates import box_for
from vitreous.optics import CTFParameters
from vitreous.particles import read_stack, read_star, read_volume

R80, R70 = ("ribosome80S_4ug0_simulated_80_4.0A.mrc", 4.0), ("ribosome70S_65.mrc", 5.0)
CLEAN = ("--blobs", "0", "--aggregates", "0", "--fragments", "0")
SIMULATED = {  # name -> map, diameter in A, micrographs, options of make_micrographs.py
    "80S, SNR 0.4, contaminants": (R80, 298.0, 2, ("--snr", "0.4", "--seed", "131")),
    "80S, SNR 0.1, contaminants": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "132")),
    "80S, SNR 0.4": (R80, 298.0, 2, ("--snr", "0.4", "--seed", "133", *CLEAN)),
    "80S, SNR 0.1": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "134", *CLEAN)),
    "80S, SNR 0.1, carbon, contaminants": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "135", "--carbon")),
    "70S, SNR 0.1": (R70, 239.0, 8, ("--snr", "0.1", "--seed", "136", "--particles", "150", *CLEAN)),
    "noise": (R80, 298.0, 5, ("--snr", "0.1", "--seed", "137", "--noise-only")),
    "noise, carbon": (R80, 298.0, 5, ("--snr", "0.1", "--seed", "138", "--noise-only", "--carbon")),
}
REAL = {  # folder, particles, classes, pixel sizes of micrographs and averages, Cs, contrast; diameter, border in px
    "80S, real": ("ribosome80S_empiar10028", "ribo80S_80_5.36A", 20, (5.36, 5.36, 2.0, 0.1), 300.0, 28),
    "apoferritin, real": ("apoferritin_empiar10146", "apo_particles_64_3.0A", 8, (1.5, 3.0, 2.7, 0.07), 130.0, 43),
}
LARGE_SET = "4096 x 4096"
PROJECTIONS, BALL, PLAIN, RELION = "20 projections", "a ball", "normalised correlation", "RELION"
WAYS = {"whitened": Pick(), "not whitened": Pick(whiten=False)}
EXPECTED = (0.1, 1.0, 10.0)  # false picks per micrograph
LARGE = ("--size", "4096", "--angpix", "2.5", "--n", "1", "--snr", "0.1", "--seed", "139", "--particles", "600")
LARGE_ANGLES = 72


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    data: np.ndarray
    pixel_A: float
    ctf: CTFParameters | None
    truth: np.ndarray  # (n, 2)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=DEFAULT)
    parser.add_argument("--set", action="append", choices=[*SIMULATED, *REAL, LARGE_SET], help="only these")
    parser.add_argument("--way", action="append", choices=[*WAYS, BALL, PLAIN, RELION], help="only these")
    parser.add_argument("--add", action="store_true", help="to what was measured of other sets and ways before")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of every set and way; what is done is kept in the folder, for ``--add``."""
    torch.set_num_threads(1)
    shared, kept = REPOSITORY / options.sticks.parent / "data", work / "figures.json"
    if not shared.is_dir():
        raise NotAvailable(f"the data are not at {shared}")
    figures: dict[str, Any] = {"RELION": relion_version(), "sets": [], "noise": [], "large": {}}
    if options.add and kept.is_file():
        figures = json.loads(kept.read_text())
    work.mkdir(parents=True, exist_ok=True)
    for name in options.set or [*SIMULATED, *REAL, LARGE_SET]:
        if name == LARGE_SET:
            figures["large"] = _large(options, shared, work)
        else:
            place = "noise" if "noise" in name else "sets"
            found = _figures(name, options, shared, work)
            print(*found, sep="\n", flush=True)
            again = {(row["set"], row["filter"]) for row in found}
            figures[place] = [row for row in figures[place] if (row["set"], row["filter"]) not in again] + found
        kept.write_text(json.dumps(figures, indent=1))
    return {**figures, "sets": _in_order(figures["sets"]), "noise": _in_order(figures["noise"])}


def _in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    sets, ways = [*SIMULATED, *REAL], [*WAYS, PROJECTIONS, BALL, PLAIN, RELION]
    return sorted(rows, key=lambda row: (sets.index(row["set"]), ways.index(row["filter"])))


def _figures(name: str, options: argparse.Namespace, shared: Path, work: Path) -> list[dict[str, Any]]:
    """The rows of one set."""
    score, folder = stick_module(options.sticks, "picks_score"), work / name.replace(", ", "_")
    if name in REAL:
        cases, averages, average_A, diameter, edge = _real(name, shared, work, score)
        pixel_A = working_pixel_A(cases[0].pixel_A, diameter)
        images = image_templates(read_stack(averages), average_A, diameter, pixel_A)
        return _ways(name, cases, images, diameter, pixel_A, score, folder, edge, options.way)
    (file, map_A), diameter, count, arguments = SIMULATED[name]
    size = ("--size", "1024", "--angpix", "5", "--n", str(count))
    cases = list(_simulated(options, shared / "maps" / file, map_A, (*size, *arguments), folder, score))
    volume = read_volume(shared / "maps" / file, pixel_size_A=map_A)
    pixel_A = working_pixel_A(cases[0].pixel_A, diameter)
    images = projection_templates(volume, Pick.views, diameter, pixel_A)
    if "noise" not in name:
        return _ways(name, cases, images, diameter, pixel_A, score, folder, 0, options.way)
    bank = rotated_bank(images, Pick.angles, pixel_A, diameter)
    return [_noise(name, cases, PROJECTIONS, bank), _noise(name, cases, BALL, _ball(diameter, pixel_A))]


def _ways(
    name: str,
    cases: list[Case],
    images: np.ndarray,
    diameter: float,
    pixel_A: float,
    score: Any,
    work: Path,
    edge: int,
    only: list[str] | None,
) -> list[dict[str, Any]]:
    """A row for every way of picking a set, or for ``only`` some."""
    bank = rotated_bank(images, Pick.angles, pixel_A, diameter)
    ways = only or [*WAYS, BALL, PLAIN, *([RELION] if relion_version() is not None else [])]
    rows = [_row(name, way, cases, bank, WAYS[way], score, edge) for way in WAYS if way in ways]
    if BALL in ways:
        rows.append(_row(name, BALL, cases, _ball(diameter, pixel_A), Pick(), score, edge))
    if PLAIN in ways:
        start = time.process_time()
        found = [correlated(case.data, case.pixel_A, bank) for case in cases]
        seconds = (time.process_time() - start) / len(cases)
        rows.append(_peer(name, PLAIN, cases, found, diameter, score, edge, seconds))
    if RELION in ways:
        rows.append(_relion(name, cases, images, diameter, pixel_A, score, work, edge))
    return rows


def _relion(
    name: str,
    cases: list[Case],
    images: np.ndarray,
    diameter: float,
    pixel_A: float,
    score: Any,
    work: Path,
    edge: int,
) -> dict[str, Any]:
    """RELION's row, with the greyscale of templates that is best on the first micrograph, by its truth."""

    def row(some: list[Case], grey: float) -> dict[str, Any]:
        pictures, ctf = [case.data for case in some], [case.ctf for case in some]
        given = (work / "relion", pictures, some[0].pixel_A, ctf, images, pixel_A, diameter)
        found, seconds = relion_picks(*given, angles=Pick.angles, grey=grey)
        return {**_peer(name, RELION, some, found, diameter, score, edge, seconds), "grey": grey}

    best = max(GREYS, key=lambda grey: row(cases[:1], grey)["AP"])
    return row(cases, best)


def _peer(
    name: str,
    way: str,
    cases: list[Case],
    found: list[tuple[np.ndarray, np.ndarray]],
    diameter: float,
    score: Any,
    edge: int,
    seconds: float,
) -> dict[str, Any]:
    every = [
        score.score_one(xy, merit, case.truth, 0.25 * diameter / case.pixel_A, shape=case.data.shape, edge=edge)
        for case, (xy, merit) in zip(cases, found, strict=True)
    ]
    all_of = score.summary(every)
    return {
        "set": name,
        "filter": way,
        "micrographs": len(cases),
        "AP": round(all_of["AP"], 3),
        "best_F1": round(all_of["best_F1"], 3),
        "cpu_s": round(seconds, 1),
        "APs": [round(score.summary([one])["AP"], 3) for one in every],
    }


def _large(options: argparse.Namespace, shared: Path, work: Path) -> dict[str, Any]:
    """The whole command on a picture of 4096 x 4096 pixels, and the Fourier transforms that it cannot do without."""
    (file, map_A), folder = R80, work / "large"
    if not (folder / "truth.star").is_file():
        _make(options, shared / "maps" / file, map_A, LARGE, folder)
    command = (
        *(sys.executable, "-m", "vitreous.cli", "pick", "micrographs.star", "--map", shared / "maps" / file),
        *("--template-pixel-size-A", map_A, "--diameter-A", 298, "--angles", LARGE_ANGLES, "-o", "picked"),
        *("--overwrite", "--threads", 2),
    )
    cost = run_child([str(word) for word in command], work / "large.log", cwd=folder, threads=1)
    pixel_A = working_pixel_A(2.5, 298.0)
    side = int(next_fast_len(round(4096 * 2.5 / pixel_A) + box_for(298.0, pixel_A), real=True))
    one, start = torch.randn(side, side), time.process_time()
    for _ in range(Pick.views * LARGE_ANGLES):
        torch.fft.irfft2(torch.fft.rfft2(one), s=(side, side))
    return {
        "filters": Pick.views * LARGE_ANGLES,
        **cost.figures(),
        "transforms_cpu_s": round(time.process_time() - start, 1),
    }


def _ball(diameter: float, pixel_A: float) -> Bank:
    return rotated_bank(ball_templates(diameter, pixel_A), 1, pixel_A, diameter)


def _simulated(
    options: argparse.Namespace, path: Path, map_A: float, arguments: tuple[str, ...], folder: Path, score: Any
) -> Iterator[Case]:
    if not (folder / "truth.star").is_file():
        _make(options, path, map_A, arguments, folder)
    truth = score.read_points(folder / "truth.star")
    for listed in list_micrographs([folder / "micrographs.star"]):
        own = truth["mic"] == listed.stem if truth["mic"] is not None else np.zeros(0, bool)
        yield _case(listed, truth["xy"][own] if len(own) else np.zeros((0, 2)))


def _make(options: argparse.Namespace, path: Path, map_A: float, arguments: tuple[str, ...], folder: Path) -> None:
    script = REPOSITORY / options.sticks / "make_micrographs.py"
    given = ("--map", str(path), "--map-angpix", str(map_A))
    subprocess.run([sys.executable, script, folder, *given, *arguments], check=True, stdout=subprocess.DEVNULL)


def _case(listed: ListedMicrograph, truth: np.ndarray) -> Case:
    micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
    return Case(data=micrograph.data, pixel_A=micrograph.pixel_size_A, ctf=listed.ctf, truth=truth)


def _real(name: str, shared: Path, work: Path, score: Any) -> tuple[list[Case], Path, float, float, int]:
    folder, star, classes, (pixel_A, average_A, cs, contrast), diameter, edge = REAL[name]
    particles, out = shared / folder / f"{star}.star", work / folder
    if not (out / "run_classes.mrcs").is_file():
        run_class2d(particles, out, Class2D(classes=classes), RunOptions(threads=1, overwrite=True))
    table = read_star(particles)["particles"]
    defocus = dict(zip(table.text("rlnMicrographName"), table.numbers("rlnDefocusU"), strict=True))
    cases = []
    for path in sorted((shared / folder / "micrographs").glob("*.png")):
        stem = path.name.removesuffix(".png").removesuffix(".bin_avg")
        discs, hand = shared / folder / "pick_discs" / f"{stem}.png", shared / folder / "picks" / f"{stem}.csv"
        truth = score.read_points(discs if discs.is_file() else hand)["xy"]
        values = (defocus[path.name], defocus[path.name], 0.0, 300.0, cs, contrast, 0.0, 0.0)
        names = ("defocus_u_A", "defocus_v_A", "defocus_angle_deg", "voltage_kV", "cs_mm", "amplitude_contrast",
                 "phase_shift_deg", "b_factor_A2")  # fmt: skip
        ctf = CTFParameters(**{key: np.array([value]) for key, value in zip(names, values, strict=True)})
        cases.append(_case(ListedMicrograph(path=path, name=path.name, pixel_size_A=pixel_A, ctf=ctf), truth))
    return cases, out / "run_classes.mrcs", average_A, diameter, edge


def _row(name: str, way: str, cases: list[Case], bank: Bank, settings: Pick, score: Any, edge: int) -> dict[str, Any]:
    every: list[Any] = []
    picked: list[Any] = []
    start = time.process_time()
    for case in cases:
        picks = pick_micrograph(case.data, case.pixel_A, bank, settings, ctf=case.ctf)
        xy = np.stack([picks.x_px, picks.y_px], axis=1)
        candidate = np.array([word not in ("edge", "overlap") for word in picks.reason])
        for rows, these in ((every, candidate), (picked, picks.accepted)):
            one = (xy[these], picks.score[these], case.truth, 0.25 * bank.diameter_A / case.pixel_A)
            rows.append(score.score_one(*one, shape=case.data.shape, edge=edge))
    seconds = (time.process_time() - start) / len(cases)
    all_of, at_default = score.summary(every), score.summary(picked)
    return {
        "set": name,
        "filter": way,
        "micrographs": len(cases),
        "AP": round(all_of["AP"], 3),
        "F1": round(at_default["F1"], 3),
        "best_F1": round(all_of["best_F1"], 3),
        "precision": round(at_default["precision"], 3),
        "recall": round(at_default["recall"], 3),
        "cpu_s": round(seconds, 1),
        "APs": [round(score.summary([one])["AP"], 3) for one in every],
    }


def _noise(name: str, cases: list[Case], way: str, bank: Bank) -> dict[str, Any]:
    figures: dict[str, Any] = {"set": name, "filter": way, "micrographs": len(cases)}
    for expected in EXPECTED:
        settings = Pick(false_picks=expected, edge_A=0.0, contaminants=False)
        found = [
            int(pick_micrograph(case.data, case.pixel_A, bank, settings, ctf=case.ctf).accepted.sum()) for case in cases
        ]
        figures[f"expected_{expected:g}"] = sum(found)
    return figures


def table(figures: dict[str, Any]) -> str:
    """Sets, noise, correlation micrograph by micrograph, cost."""
    head = ("set", "filter", "micrographs", "AP", "F1", "best F1", "of it", "precision", "recall", "CPU s each")
    rows = [
        (r["set"], r["filter"], r["micrographs"], r["AP"], r.get("F1"), r["best_F1"], _share(r), r.get("precision"),
         r.get("recall"), r["cpu_s"])
        for r in figures["sets"]
    ]  # fmt: skip
    noise = [tuple(row.values()) for row in figures["noise"]]
    noise_head = ("noise alone", "filter", "micrographs", *(f"{e:g} expected in each" for e in EXPECTED))
    large = figures["large"]
    words = (
        f"RELION is {figures['RELION']}. 4096 x 4096 pixels of 2.5 A, {large['filters']:,} filters, the whole command "
        f"with two threads: {large['cpu_s']:g} CPU s, {large['wall_s']:g} s wall, {large['peak_MB']:g} MB; the bare "
        f"Fourier transforms of its filters take {large['transforms_cpu_s']:g} CPU s."
    )
    gains = [_gain(name, figures["sets"]) for name in dict.fromkeys(row["set"] for row in figures["sets"])]
    gain_head = ("set", "whitened less not whitened", "whitened less normalised correlation", "positive in")
    tables = (words, markdown_table(head, rows), markdown_table(noise_head, noise), markdown_table(gain_head, gains))
    return "\n\n".join(tables)


def _share(row: dict[str, Any]) -> float | None:
    return round(row["F1"] / row["best_F1"], 3) if "F1" in row else None


def _gain(name: str, rows: list[dict[str, Any]]) -> tuple[Any, ...]:
    """Differences of average precision, and in how many micrographs ours is better than plain correlation."""
    by_way = {row["filter"]: row for row in rows if row["set"] == name}
    ours, plain = by_way["whitened"], by_way[PLAIN]
    better = sum(a > b for a, b in zip(ours["APs"], plain["APs"], strict=True))
    return (
        name,
        round(ours["AP"] - by_way["not whitened"]["AP"], 3),
        round(ours["AP"] - plain["AP"], 3),
        f"{better} of {len(ours['APs'])}",
    )
