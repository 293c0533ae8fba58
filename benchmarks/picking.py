"""Particles found in micrographs: real and simulated ones, with CTF and noise spectrum and without; and in noise.

AP is the area under the precision-recall curve of all candidates sorted by score, at a quarter of the diameter
(`picks_score.py` of the scoring scripts). F1, precision and recall are those of the picks at the default threshold;
best F1 that at the threshold which the truth likes most. The published picks of the real 80S micrographs are
incomplete, so that no picker reaches 1 there. Templates of real sets are class averages of `vitreous class2d` from
particles of these micrographs, those of simulated sets 20 projections of the map. Settings are the defaults; they were
fixed on simulated micrographs of other seeds, and on the first ones of the real sets.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
from vitreous.optics import CTFParameters
from vitreous.particles import read_stack, read_star, read_volume

R80, R70 = ("ribosome80S_4ug0_simulated_80_4.0A.mrc", 4.0), ("ribosome70S_65.mrc", 5.0)
CLEAN = ("--blobs", "0", "--aggregates", "0", "--fragments", "0")
SIMULATED = {  # name -> map, diameter in A, options of make_micrographs.py
    "80S, SNR 0.4, contaminants": (R80, 298.0, ("--snr", "0.4", "--seed", "121")),
    "80S, SNR 0.1, contaminants": (R80, 298.0, ("--snr", "0.1", "--seed", "122")),
    "80S, SNR 0.1, carbon, contaminants": (R80, 298.0, ("--snr", "0.1", "--seed", "123", "--carbon")),
    "70S, SNR 0.1": (R70, 239.0, ("--snr", "0.1", "--seed", "111", "--particles", "150", *CLEAN)),
    "noise": (R80, 298.0, ("--snr", "0.1", "--seed", "126", "--noise-only")),
    "noise, carbon": (R80, 298.0, ("--snr", "0.1", "--seed", "127", "--noise-only", "--carbon")),
}
WAYS = {
    "CTF and noise": Pick(),
    "no noise spectrum": Pick(whiten=False),
    "no CTF": Pick(ctf=False),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    data: np.ndarray
    pixel_A: float
    ctf: CTFParameters | None
    truth: np.ndarray  # (n, 2)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=DEFAULT)
    parser.add_argument("--micrographs", type=int, default=2, help="of every simulated set, 1024 x 1024")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of every set and way."""
    torch.set_num_threads(1)
    score = stick_module(options.sticks, "picks_score")
    shared = REPOSITORY / options.sticks.parent / "data"
    if not shared.is_dir():
        raise NotAvailable(f"the data are not at {shared}")
    rows, noise = [], []
    for name, ((file, map_A), diameter, arguments) in SIMULATED.items():
        cases = list(
            _simulated(options, shared / "maps" / file, map_A, arguments, work / name.replace(", ", "_"), score)
        )
        volume = read_volume(shared / "maps" / file, pixel_size_A=map_A)
        pixel_A = working_pixel_A(cases[0].pixel_A, diameter)
        bank = rotated_bank(projection_templates(volume, Pick.views, diameter, pixel_A), Pick.angles, pixel_A, diameter)
        if "noise" in name:
            noise.append(_noise(name, cases, bank))
            continue
        rows += [_row(name, way, cases, bank, settings, score, 0) for way, settings in WAYS.items()]
        rows.append(_row(name, "a ball", cases, _ball(diameter, pixel_A), Pick(), score, 0))
    for name, (cases, averages, average_A, diameter, edge) in _real(shared, work, score).items():
        pixel_A = working_pixel_A(cases[0].pixel_A, diameter)
        images = image_templates(read_stack(averages), average_A, diameter, pixel_A)
        bank = rotated_bank(images, Pick.angles, pixel_A, diameter)
        rows += [_row(name, way, cases, bank, settings, score, edge) for way, settings in WAYS.items()]
        rows.append(_row(name, "a ball", cases, _ball(diameter, pixel_A), Pick(), score, edge))
    return {"sets": rows, "noise": noise}


def _ball(diameter: float, pixel_A: float) -> Bank:
    return rotated_bank(ball_templates(diameter, pixel_A), 1, pixel_A, diameter)


def _simulated(
    options: argparse.Namespace, path: Path, map_A: float, arguments: tuple[str, ...], folder: Path, score: Any
) -> Iterator[Case]:
    if not (folder / "truth.star").is_file():
        script = REPOSITORY / options.sticks / "make_micrographs.py"
        size = ("--size", "1024", "--angpix", "5", "--n", str(options.micrographs))
        given = ("--map", str(path), "--map-angpix", str(map_A))
        subprocess.run(
            [sys.executable, script, folder, *given, *size, *arguments], check=True, stdout=subprocess.DEVNULL
        )
    truth = score.read_points(folder / "truth.star")
    for listed in list_micrographs([folder / "micrographs.star"]):
        own = truth["mic"] == listed.stem if truth["mic"] is not None else np.zeros(0, bool)
        yield _case(listed, truth["xy"][own] if len(own) else np.zeros((0, 2)))


def _case(listed: ListedMicrograph, truth: np.ndarray) -> Case:
    micrograph = read_micrograph(listed.path, pixel_size_A=listed.pixel_size_A)
    return Case(data=micrograph.data, pixel_A=micrograph.pixel_size_A, ctf=listed.ctf, truth=truth)


def _real(shared: Path, work: Path, score: Any) -> dict[str, tuple[list[Case], Path, float, float, int]]:
    found = {}
    for name, folder, star, classes, optics, diameter, edge in (
        ("80S, real", "ribosome80S_empiar10028", "ribo80S_80_5.36A", 20, (5.36, 5.36, 2.0, 0.1), 300.0, 28),
        ("apoferritin, real", "apoferritin_empiar10146", "apo_particles_64_3.0A", 8, (1.5, 3.0, 2.7, 0.07), 130.0, 43),
    ):
        particles = shared / folder / f"{star}.star"
        out, (pixel_A, average_A, cs, contrast) = work / folder, optics
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
        found[name] = (cases, out / "run_classes.mrcs", average_A, diameter, edge)
    return found


def _row(name: str, way: str, cases: list[Case], bank: Bank, settings: Pick, score: Any, edge: int) -> dict[str, Any]:
    every, picked, start = [], [], time.process_time()
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
    }


def _noise(name: str, cases: list[Case], bank: Bank) -> dict[str, Any]:
    figures: dict[str, Any] = {"set": name, "micrographs": len(cases)}
    for expected in (1.0, 10.0):
        settings = Pick(false_picks=expected, edge_A=0.0)
        found = [
            int(pick_micrograph(case.data, case.pixel_A, bank, settings, ctf=case.ctf).accepted.sum()) for case in cases
        ]
        figures[f"expected_{expected:g}"] = sum(found)
    return figures


def table(figures: dict[str, Any]) -> str:
    """Two tables."""
    head = ("set", "filter", "micrographs", "AP", "F1", "best F1", "precision", "recall", "CPU s each")
    rows = [tuple(str(value) for value in row.values()) for row in figures["sets"]]
    noise = [tuple(str(value) for value in row.values()) for row in figures["noise"]]
    noise_head = ("picks in noise", "micrographs", "1 expected each", "10 expected each")
    return markdown_table(head, rows) + "\n\n" + markdown_table(noise_head, noise)
