"""Initial models of real class averages, by the commands that a user types, against the maps that lie beside them.

*P. falciparum* 80S: 50 averages that come as 1,000 points each, which is what counts are; they are put on pixels, two
of the old ones wide. The map is the human ribosome (simulated from 4UG0): another species, so the two never agree
fully. Beta-galactosidase: 16 averages (Habeck group), and what is sharp to the eye among the 50 and 40 averages of
RELION's tutorial, which are 8-bit, each stretched on its own, most of them junk. For `gmm` averages with negative
pixels go through `vitreous deconvolve --single` first; `gmm-gaussian` takes them as they are. CC is over the whole box
at the better hand, with the map at 25 A, and so is FSC = 0.5; the seconds are those of all commands.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.atomic_scenes import DATA, SIGMA_PER_RESOLUTION
from benchmarks.initial_program import command, model_figures
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.conventions import centre_index
from vitreous.particles import Volume, open_stack, read_volume, write_mrc_stack, write_volume

POINT_PIXEL_A = 2.68
POINTS_BINNED = 2
POINTS_BOX_PX = 96
COMPARED_AT_A = 25.0


@dataclass(frozen=True, kw_only=True)
class Set:
    """Averages, the map they are compared with, and what a user knows about them."""

    file: str
    reference: str
    symmetry: str = "C1"
    pixel_size_A: float | None = None
    chosen: tuple[int, ...] = ()  # from 1; empty: all
    deconvolve: bool = True
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by method


BETAGAL = "betagal_relion_100_3.54A.mrc"
SETS = {
    "80S ribosome": Set(
        file="pfrib80S_50_averages_as_points_2.68A.npz",
        reference="ribosome80S_4ug0_simulated_80_4.0A.mrc",
        deconvolve=False,
        options={"gmm": ("--fine-counts", "1000")},  # there are no more
    ),
    "beta-galactosidase": Set(
        file="betagal_16_averages_3.54A.mrcs", reference=BETAGAL, symmetry="D2", pixel_size_A=3.54
    ),
    "beta-galactosidase, tutorial job008": Set(
        file="betagal_relion_tutorial_job008.mrcs",
        reference=BETAGAL,
        symmetry="D2",
        pixel_size_A=3.54,
        chosen=(23, 30, 39, 40, 43, 46),
    ),
    "beta-galactosidase, tutorial job032": Set(
        file="betagal_relion_tutorial_job032.mrcs",
        reference=BETAGAL,
        symmetry="D2",
        pixel_size_A=3.54,
        chosen=(1, 2, 4, 6, 10, 12, 14, 17, 18, 23, 25, 27, 33, 35),
    ),
}
METHODS = ("gmm", "gmm-gaussian")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--threads", type=int, default=2)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per set and method."""
    data, rows = REPOSITORY / options.data, []
    for name in options.sets:
        if not (data / "averages" / SETS[name].file).is_file():
            raise NotAvailable(f"the real averages are not at {options.data / 'averages'}; give --data")
        folder = work / name.replace(", ", "-").replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        averages, images = prepare(data, SETS[name], folder)
        truth = reference(data / "maps" / SETS[name].reference, folder)
        for method in options.methods:
            figures = _one(SETS[name], method, averages, truth, options)
            rows.append({"set": name, "method": method, "averages": images, **figures})
            print(rows[-1], flush=True)
    return {"threads": options.threads, "rows": rows}


def prepare(data: Path, chosen: Set, folder: Path) -> tuple[Path, int]:
    """A stack that the commands can read, and how many averages it has."""
    path, averages = data / "averages" / chosen.file, folder / "averages.mrcs"
    if path.suffix == ".npz":
        images, pixel = points_as_images(path), POINTS_BINNED * POINT_PIXEL_A
    else:
        stack = open_stack(path)
        rows = np.array(chosen.chosen or range(1, len(stack) + 1)) - 1
        images, pixel = stack.read(rows), chosen.pixel_size_A or stack.pixel_size_A
    write_mrc_stack(averages, images, pixel)
    return averages, len(images)


def reference(path: Path, folder: Path) -> Path:
    """The map at the resolution of the comparison."""
    found = read_volume(path)
    sigma_px = SIGMA_PER_RESOLUTION * COMPARED_AT_A / found.pixel_size_A
    smooth = gaussian_filter(found.data, sigma_px, mode="constant")
    write_volume(folder / "reference.mrc", Volume(data=smooth, pixel_size_A=found.pixel_size_A))
    return folder / "reference.mrc"


def points_as_images(path: Path) -> np.ndarray:
    """How many points every pixel has, the centre of mass of the points in the central pixel: float32 (n, L, L)."""
    images = []
    with np.load(path) as file:
        for key in sorted(file, key=int):
            points = file[key] - file[key].mean(axis=0)
            index = np.rint(points / POINTS_BINNED).astype(int) + centre_index(POINTS_BOX_PX)
            inside = ((index >= 0) & (index < POINTS_BOX_PX)).all(axis=1)
            image = np.zeros((POINTS_BOX_PX, POINTS_BOX_PX), np.float32)
            np.add.at(image, (index[inside, 1], index[inside, 0]), 1.0)
            images.append(image)
    return np.stack(images)


def _one(chosen: Set, method: str, averages: Path, truth: Path, options: argparse.Namespace) -> dict[str, Any]:
    given, folder, costs = averages, averages.parent, []
    if method == "gmm" and chosen.deconvolve:
        given = folder / "deconvolved"
        costs.append(command("deconvolve", averages, given, threads=options.threads, options=["--single"]))
    words = [
        "--method",
        method,
        "--symmetry",
        chosen.symmetry,
        "--seed",
        str(options.seed),
        *chosen.options.get(method, ()),
    ]
    found = folder / method
    costs.append(command("initial", given, found, threads=options.threads, options=words))
    seconds = {name: round(sum(cost.figures()[name] for cost in costs), 1) for name in ("cpu_s", "wall_s")}
    model = model_figures(found, truth)
    return {"commands": len(costs), **model, **seconds, "peak_MB": max(cost.figures()["peak_MB"] for cost in costs)}


def table(figures: dict[str, Any]) -> str:
    """Every run."""
    header = (
        *("averages", "number", "symmetry", "method", "commands", "restarts that agree", "CC", "other hand"),
        *("FSC 0.5 (A)", "wall s", "CPU s", "peak MB"),
    )
    rows = [
        (
            *(r["set"], r["averages"], SETS[r["set"]].symmetry, r["method"], r["commands"]),
            *(f"{r['restarts_agreeing']} of {r['restarts']}", r["correlation"], r["other_hand_correlation"]),
            *(r["resolution_A"], r["wall_s"], r["cpu_s"], r["peak_MB"]),
        )
        for r in figures["rows"]
    ]
    text = f"{figures['threads']} threads. Restarts agree when nine poses in ten do, within 20 degrees."
    return f"{text}\n\n{markdown_table(header, rows)}"
