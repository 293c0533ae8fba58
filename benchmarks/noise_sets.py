"""Pure noise through every command: no claim, no crash.

Twenty sets of images without any particle: white, coloured, low-passed and denoised noise, and noise with outliers
(hot pixels, strong and constant images), 300 to 5,000 images. Everything that a command calls a resolution, a structure
or a signal is a claim.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.forks import in_a_fork, in_this_process

__all__ = ["SETS", "add_options", "claim", "measure", "noise_images", "table"]

BOX, PIXEL_A, MOST_3D = 32, 8.0, 600
KINDS = ("white", "coloured", "low-passed", "denoised", "outliers")
SIZES = (300, 400, 600, 800)  # of the sets of a kind
LARGE = {("white", 3): 5000, ("coloured", 3): 5000, ("outliers", 2): 2000}
SETS = tuple((kind, LARGE.get((kind, i), SIZES[i]), 10 * i + k) for i in range(4) for k, kind in enumerate(KINDS))


def noise_images(kind: str, count: int, seed: int) -> np.ndarray:
    """(count, BOX, BOX) float32."""
    draw = np.random.default_rng(seed)
    white = draw.normal(size=(count, BOX, BOX))
    frequency = np.hypot(np.fft.fftfreq(BOX)[:, None], np.fft.rfftfreq(BOX))
    if kind == "coloured":
        white = _filtered(white, 1.0 / (1.0 + frequency / 0.05))
    elif kind == "low-passed":
        white = _filtered(white, np.exp(-((frequency * 30.0 / PIXEL_A) ** 2)))
    elif kind == "denoised":
        white = np.stack([ndimage.median_filter(image, 3) for image in white])
    elif kind == "outliers":
        for i in draw.choice(count, count // 30, replace=False):
            white[i, *draw.integers(0, BOX, 2)] += 10.0 ** draw.uniform(2, 5)
        white[draw.choice(count, 2, replace=False)] *= 1000.0
        white[draw.integers(count)] = 0.0
    return (white / np.median(white.std((1, 2)))).astype(np.float32)


def _filtered(images: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.fft.irfft2(np.fft.rfft2(images) * factor, s=images.shape[1:])


def write_set(folder: Path, kind: str, count: int, seed: int) -> None:
    """``particles.star`` with a CTF, and ``posed.star`` with random poses besides."""
    from vitreous.particles import Table, write_mrc_stack, write_star

    folder.mkdir(parents=True)
    write_mrc_stack(folder / "p.mrcs", noise_images(kind, count, seed), PIXEL_A)
    draw = np.random.default_rng(seed + 1)
    columns: dict[str, Any] = {
        "rlnImageName": [f"{i + 1:06d}@p.mrcs" for i in range(count)],
        "rlnDefocusU": (defocus := draw.choice([10000.0, 15000.0, 20000.0], count)),
        "rlnDefocusV": defocus,
        "rlnDefocusAngle": np.zeros(count),
        "rlnOpticsGroup": np.ones(count, int),
    }
    poses = {
        "rlnAngleRot": draw.uniform(-180, 180, count),
        "rlnAngleTilt": np.degrees(np.arccos(draw.uniform(-1, 1, count))),
        "rlnAnglePsi": draw.uniform(-180, 180, count),
        "rlnOriginXAngst": np.zeros(count),
        "rlnOriginYAngst": np.zeros(count),
    }
    optics = {
        "rlnOpticsGroup": [1],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [PIXEL_A],
        "rlnImageSize": [BOX],
    }
    for name, more in (("particles", {}), ("posed", poses)):
        tables = {"optics": Table.from_arrays(optics), "particles": Table.from_arrays({**columns, **more})}
        write_star(folder / f"{name}.star", tables)


COMMANDS: dict[str, Sequence[str]] = {  # in an order in which each finds what those before have left
    "class2d": ("class2d", "particles.star", "--K", "6", "--iter", "12"),
    "denoise": ("denoise", "particles.star"),
    "neighbours": ("neighbours", "particles.star", "--runs", "1", "--averages", "6"),
    "deconvolve": ("deconvolve", "class2d/run_data.star"),
    "initial": ("initial", "deconvolve"),
    "abinitio": ("abinitio", "few.star", "--starts", "2", "--iterations", "12"),
    "reconstruct": ("reconstruct", "posed.star"),
    "postprocess": ("postprocess", "reconstruct", "--no-local"),
    "refine": ("refine", "few_posed.star", "--iterations", "6"),
    "mixture": ("mixture", "reconstruct/reconstruction.mrc", "--components", "40", "--steps", "30"),
    "run": ("run", "few.star", "--classes", "6", "--starts", "1"),
}
CLAIMS: dict[str, Callable[[dict[str, Any]], bool]] = {  # from the summary in job.json
    "class2d": lambda s: s.get("found_signal") is not False,
    "denoise": lambda s: s.get("found_signal") is not False,
    "neighbours": lambda s: s.get("found_signal") is not False,
    "abinitio": lambda s: s.get("found_signal", s.get("credible")) not in (False, None),
    "refine": lambda s: s.get("resolution_A") is not None,
    "postprocess": lambda s: s.get("resolution_A") is not None,
    "reconstruct": lambda s: (s.get("fsc_0.143_A") or np.inf) < 4 * PIXEL_A,
    "run": lambda s: s.get("refine_resolution_A") is not None,
}


def claim(name: str, folder: Path) -> bool:
    """Whether a finished job says that there is something in its images."""
    if name not in CLAIMS or not (folder / "job.json").is_file():
        return False
    return bool(CLAIMS[name](json.loads((folder / "job.json").read_text())["summary"]))


def one_set(folder: Path, names: Sequence[str], warm: bool) -> dict[str, str]:
    """Command -> "nothing found", "refused: ...", "claim" or "crash: ..."."""
    from vitreous.particles import read_particles

    for name, few in (("particles", "few"), ("posed", "few_posed")):
        whole = read_particles(folder / f"{name}.star")
        whole.subset(np.arange(min(len(whole), MOST_3D))).write(folder / f"{few}.star")
    found: dict[str, str] = {}
    for name in names:
        threads = () if name == "mixture" else ("--threads", "1")
        start = in_this_process if warm else in_a_fork
        ended = start([*COMMANDS[name], "-o", name, *threads], folder)
        if not ended.clean:
            found[name] = f"crash: {ended.status} {ended.said}"
        elif ended.status:
            found[name] = f"refused: {ended.said.removeprefix('vitreous: ')[:200]}"
        else:
            found[name] = "claim" if claim(name, folder / name) else "nothing found"
            if found[name] == "claim":
                found[name] += f": {next((t for t in ended.out.splitlines() if ' in ' in t), '')[:160]}"
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks noise-sets``."""
    parser.add_argument("--sets", type=int, default=len(SETS), help="the first ones only")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="only these; default: all")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All commands on all sets."""
    work, names, found = work.resolve(), options.command or list(COMMANDS), []
    shutil.rmtree(work, ignore_errors=True)
    for i, (kind, count, seed) in enumerate(SETS[: options.sets]):
        folder = work / f"{i:02d}"
        write_set(folder, kind, count, seed)
        ended = one_set(folder, names, warm=i == 0)
        found.append({"kind": kind, "images": count, "ended": ended})
        print(f"{kind}, {count}: {json.dumps(ended)}", flush=True)
        shutil.rmtree(folder)
    return {"sets": found}


def table(figures: dict[str, Any]) -> str:
    """Markdown: a row for each kind, what the commands said of how many sets."""
    ended = [(name, said) for each in figures["sets"] for name, said in each["ended"].items()]
    words = {"claim": "claims", "crash": "crashes", "nothing": "nothing found", "refused": "refused"}
    names = list(dict.fromkeys(name for name, _ in ended))
    head = f"| command | {' | '.join(words.values())} |\n| --- |{' --- |' * len(words)}\n"
    rows = [
        f"| {name} | " + " | ".join(str(sum(n == name and s.startswith(w) for n, s in ended)) for w in words) + " |"
        for name in names
    ]
    return f"{len(figures['sets'])} sets.\n\n{head}" + "\n".join(rows) + "\n"
