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
    "80S, SNR 0.4, contaminants": (R80, 298.0, 2, ("--snr", "0.4", "--seed", "731")),
    "80S, SNR 0.1, contaminants": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "732")),
    "80S, SNR 0.4": (R80, 298.0, 2, ("--snr", "0.4", "--seed", "733", *CLEAN)),
    "80S, SNR 0.1": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "734", *CLEAN)),
    "80S, SNR 0.1, carbon, contaminants": (R80, 298.0, 2, ("--snr", "0.1", "--seed", "735", "--carbon")),
    "70S, SNR 0.1": (R70, 239.0, 8, ("--snr", "0.1", "--seed", "736", "--particles", "150", *CLEAN)),
    "noise": (R80, 298.0, 5, ("--snr", "0.1", "--seed", "737", "--noise-only")),
    "noise, carbon": (R80, 298.0, 5, ("--snr", "0.1", "--seed", "738", "--noise-only", "--carbon")),
}
REAL = {  # folder, particles, classes, pixel sizes of micrographs and averages, Cs, contrast; diameter, border in px
    "80S, real": ("ribosome80S_empiar10028", "ribo80S_80_5.36A", 20, (5.36, 5.36, 2.0, 0.1), 300.0, 28),
    "apoferritin, real": ("apoferritin_empiar10146", "apo_particles_64_3.0A", 8, (1.5, 3.0, 2.7, 0.07), 130.0, 43),
}
LARGE_SET = "4096 x 4096"
PROJECTIONS, BALL, PLAIN, RELION = "20 projections", "a ball", "normalised correlation", "RELION"
WAYS = {"whitened": Pick(), "not whitened": Pick(whiten=False)}
EXPECTED = (0.1, 10.0)  # false picks per micrograph
LARGE = ("--size", "4096", "--angpix", "2.5", "--n", "1", "--snr", "0.1", "--seed", "739", "--particles", "600")
LARGE_ANGLES = 72


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A micrograph and where its particles are."""

    data: np.ndarray
    pixel_A: float
    ctf: CTFParameters | None
    truth: np.ndarray  # (n, 2)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A set of micrographs, what is looked for in it, and how picks are scored."""

    name: str
    cases: list[Case]
    images: np.ndarray  # (n, m, m), at pixel_A
    pixel_A: float  # at which micrographs are searched
    diameter_A: float
    edge_px: int  # of the micrograph, within which nothing counts
    score: Any  # the scoring script
    folder: Path

    def bank(self) -> Bank:
        """The images in all rotations."""
        return rotated_bank(self.images, Pick.angles, self.pixel_A, self.diameter_A)

    def ball(self) -> Bank:
        """A ball."""
        return rotated_bank(ball_templates(self.diameter_A, self.pixel_A), 1, self.pixel_A, self.diameter_A)

    def scored(self, case: Case, xy: np.ndarray, merit: np.ndarray) -> Any:
        """Picks (n, 2) of a micrograph with their scores (n,), against its truth."""
        tolerance = 0.25 * self.diameter_A / case.pixel_A
        return self.score.score_one(xy, merit, case.truth, tolerance, shape=case.data.shape, edge=self.edge_px)


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
    scene = (_real if name in REAL else _simulated)(name, options, shared, work)
    if "noise" in name:
        return [_noise(scene, PROJECTIONS, scene.bank()), _noise(scene, BALL, scene.ball())]
    return _ways(scene, options.way)


def _ways(scene: Scene, only: list[str] | None) -> list[dict[str, Any]]:
    """A row for every way of picking a set, or for ``only`` some."""
    bank = scene.bank()
    ways = only or [*WAYS, BALL, PLAIN, *([RELION] if relion_version() is not None else [])]
    rows = [_row(scene, way, bank, WAYS[way]) for way in WAYS if way in ways]
    if BALL in ways:
        rows.append(_row(scene, BALL, scene.ball(), Pick()))
    if PLAIN in ways:
        start = time.process_time()
        found = [correlated(case.data, case.pixel_A, bank) for case in scene.cases]
        seconds = (time.process_time() - start) / len(scene.cases)
        rows.append(_peer(scene, PLAIN, scene.cases, found, seconds))
    if RELION in ways:
        rows.append(_relion(scene))
    return rows


def _relion(scene: Scene) -> dict[str, Any]:
    """RELION's row, with the greyscale of templates that is best on the first micrograph, by its truth."""

    def row(some: list[Case], grey: float) -> dict[str, Any]:
        pictures, ctf = [case.data for case in some], [case.ctf for case in some]
        given = (pictures, some[0].pixel_A, ctf, scene.images, scene.pixel_A, scene.diameter_A)
        found, seconds = relion_picks(scene.folder / "relion", *given, angles=Pick.angles, grey=grey)
        return {**_peer(scene, RELION, some, found, seconds), "grey": grey}

    best = max(GREYS, key=lambda grey: row(scene.cases[:1], grey)["AP"])
    return row(scene.cases, best)


def _peer(
    scene: Scene, way: str, cases: list[Case], found: list[tuple[np.ndarray, np.ndarray]], seconds: float
) -> dict[str, Any]:
    every = [scene.scored(case, xy, merit) for case, (xy, merit) in zip(cases, found, strict=True)]
    all_of = scene.score.summary(every)
    return {
        "set": scene.name,
        "filter": way,
        "micrographs": len(cases),
        "AP": round(all_of["AP"], 3),
        "best_F1": round(all_of["best_F1"], 3),
        "cpu_s": round(seconds, 1),
        "APs": [round(scene.score.summary([one])["AP"], 3) for one in every],
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


def _simulated(name: str, options: argparse.Namespace, shared: Path, work: Path) -> Scene:
    (file, map_A), diameter, count, arguments = SIMULATED[name]
    score, folder, path = stick_module(options.sticks, "picks_score"), _folder(name, work), shared / "maps" / file
    if not (folder / "truth.star").is_file():
        _make(options, path, map_A, ("--size", "1024", "--angpix", "5", "--n", str(count), *arguments), folder)
    truth, cases = score.read_points(folder / "truth.star"), []
    for listed in list_micrographs([folder / "micrographs.star"]):
        own = truth["mic"] == listed.stem if truth["mic"] is not None else np.zeros(0, bool)
        cases.append(_case(listed, truth["xy"][own] if len(own) else np.zeros((0, 2))))
    pixel_A = working_pixel_A(cases[0].pixel_A, diameter)
    volume = read_volume(path, pixel_size_A=map_A)
    return Scene(
        name=name,
        cases=cases,
        images=projection_templates(volume, Pick.views, diameter, pixel_A),
        pixel_A=pixel_A,
        diameter_A=diameter,
        edge_px=0,
        score=score,
        folder=folder,
    )


def _folder(name: str, work: Path) -> Path:
    return work / name.replace(", ", "_")


def _make(options: argparse.Namespace, path: Path, map_A: float, arguments: tuple[str, ...], folder: Path) -> None:
    script = REPOSITORY / options.sticks / "make_micrographs.py"
    given = ("--map", str(path), "--map-angpix", str(map_A))
    subprocess.run([sys.executable, script, folder, *given, *arguments], check=True, stdout=subprocess.DEVNULL)


def _case(listed: ListedMicrograph, truth: np.ndarray) -> Case:
    micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
    return Case(data=micrograph.data, pixel_A=micrograph.pixel_size_A, ctf=listed.ctf, truth=truth)


def _real(name: str, options: argparse.Namespace, shared: Path, work: Path) -> Scene:
    folder, star, classes, (pixel_A, average_A, cs, contrast), diameter, edge = REAL[name]
    score = stick_module(options.sticks, "picks_score")
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
    working_A = working_pixel_A(cases[0].pixel_A, diameter)
    return Scene(
        name=name,
        cases=cases,
        images=image_templates(read_stack(out / "run_classes.mrcs"), average_A, diameter, working_A),
        pixel_A=working_A,
        diameter_A=diameter,
        edge_px=edge,
        score=score,
        folder=_folder(name, work),
    )


def _row(scene: Scene, way: str, bank: Bank, settings: Pick) -> dict[str, Any]:
    every: list[Any] = []
    picked: list[Any] = []
    start = time.process_time()
    for case in scene.cases:
        picks = pick_micrograph(case.data, case.pixel_A, bank, settings, ctf=case.ctf)
        xy = np.stack([picks.x_px, picks.y_px], axis=1)
        candidate = np.array([word not in ("edge", "overlap") for word in picks.reason])
        for rows, these in ((every, candidate), (picked, picks.accepted)):
            rows.append(scene.scored(case, xy[these], picks.score[these]))
    seconds = (time.process_time() - start) / len(scene.cases)
    summary = scene.score.summary
    all_of, at_default = summary(every), summary(picked)
    return {
        "set": scene.name,
        "filter": way,
        "micrographs": len(scene.cases),
        "AP": round(all_of["AP"], 3),
        "F1": round(at_default["F1"], 3),
        "best_F1": round(all_of["best_F1"], 3),
        "precision": round(at_default["precision"], 3),
        "recall": round(at_default["recall"], 3),
        "cpu_s": round(seconds, 1),
        "APs": [round(summary([one])["AP"], 3) for one in every],
    }


def _noise(scene: Scene, way: str, bank: Bank) -> dict[str, Any]:
    figures: dict[str, Any] = {"set": scene.name, "filter": way, "micrographs": len(scene.cases)}
    for expected in EXPECTED:
        settings = Pick(false_picks=expected, edge_A=0.0, contaminants=False)
        found = [pick_micrograph(case.data, case.pixel_A, bank, settings, ctf=case.ctf) for case in scene.cases]
        figures[f"expected_{expected:g}"] = sum(int(picks.accepted.sum()) for picks in found)
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
    ours, plain = by_way["whitened"], by_way.get(PLAIN)
    gain = round(ours["AP"] - by_way["not whitened"]["AP"], 3)
    if plain is None:
        return name, gain, None, None
    better = sum(a > b for a, b in zip(ours["APs"], plain["APs"], strict=True))
    return name, gain, round(ours["AP"] - plain["AP"], 3), f"{better} of {len(ours['APs'])}"
