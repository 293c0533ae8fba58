"""Pure noise through every command: no claim, no crash.

Twenty sets of images without any particle: white, coloured, low-passed and denoised noise, and noise with outliers
(hot pixels, strong and constant images), 300 to 5,000 images. Everything that a command calls a resolution, a
structure, a stable class or a signal is a claim. What has ended stands in `bench-out/noise-sets/ended`, so that a
measurement that was stopped goes on where it was; `python -m benchmarks noise-sets --again` begins anew. A mixture
describes whatever it is given and claims nothing: for it, "nothing found" says that it ended well.
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
from benchmarks.record import commit

__all__ = ["SETS", "add_options", "claim", "measure", "noise_images", "table"]

BOX, PIXEL_A, MOST_3D = 32, 8.0, 150
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
    "align": ("align", "few.star", "--starts", "3", "--iterations", "12"),
    "stability": ("stability", "class2d", "--starts", "3"),
    "isac": ("isac", "few.star", "--img-per-grp", "30", "--generations", "1", "--runs", "3", "--starts", "3"),
    "deconvolve": ("deconvolve", "class2d/run_data.star"),
    "initial": ("initial", "deconvolve"),
    "abinitio": ("abinitio", "few.star", "--starts", "2", "--iterations", "4"),
    "reconstruct": ("reconstruct", "posed.star"),
    "postprocess": ("postprocess", "reconstruct", "--no-local"),
    "refine": ("refine", "few_posed.star", "--iterations", "3"),
    "mixture": ("mixture", "reconstruct/reconstruction.mrc", "--components", "40", "--steps", "30"),
    "run": ("run", "few.star", "--classes", "6", "--starts", "1"),
}
NEEDS = {  # command -> those whose folders it reads
    "deconvolve": ("class2d",),
    "stability": ("class2d",),
    "initial": ("class2d", "deconvolve"),
    "postprocess": ("reconstruct",),
    "mixture": ("reconstruct",),
}
CLAIMS: dict[str, Callable[[dict[str, Any]], bool]] = {  # from the summary in job.json
    "class2d": lambda s: s.get("found_signal") is not False,
    "denoise": lambda s: s.get("found_signal") is not False,
    "neighbours": lambda s: s.get("found_signal") is not False,
    "align": lambda s: s.get("found_signal") is not False,
    "stability": lambda s: bool(s.get("stable_classes", 1)),
    "isac": lambda s: bool(s.get("classes", 1)),
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


def one_set(folder: Path, names: Sequence[str], warm: bool) -> dict[str, tuple[str, float]]:
    """Command -> "nothing found", "refused: ...", "claim" or "crash: ...", and seconds."""
    from vitreous.particles import read_particles

    for name, few in (("particles", "few"), ("posed", "few_posed")):
        whole = read_particles(folder / f"{name}.star")
        whole.subset(np.arange(min(len(whole), MOST_3D))).write(folder / f"{few}.star")
    found: dict[str, tuple[str, float]] = {}
    for name in names:
        threads = () if name == "mixture" else ("--threads", "1")
        start = in_this_process if warm else in_a_fork
        ended = start([*COMMANDS[name], "-o", name, *threads], folder)
        if not ended.clean:
            said = f"crash: {ended.status} {ended.said}"
        elif ended.status:
            said = f"refused: {ended.said.removeprefix('vitreous: ')[:200]}"
        elif claim(name, folder / name):
            said = f"claim: {next((t for t in ended.out.splitlines() if ' in ' in t), '')[:160]}"
        else:
            said = "nothing found"
        found[name] = (said, round(ended.seconds, 1))
        print(f"  {name}: {said} ({ended.seconds:.1f} s)", flush=True)
    return found


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks noise-sets``."""
    parser.add_argument("--sets", type=int, default=len(SETS), help="the first ones only")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="only these; default: all")
    parser.add_argument("--again", action="store_true", help="also what has ended in an earlier run")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All commands on all sets."""
    work, wanted, warm = work.resolve(), options.command or list(COMMANDS), True
    (work / "ended").mkdir(parents=True, exist_ok=True)
    for i, (kind, count, seed) in enumerate(SETS[: options.sets]):
        record, folder = work / "ended" / f"{i:02d}.json", work / f"{i:02d}"
        ended = json.loads(record.read_text())["ended"] if record.is_file() else {}
        due = [name for name in wanted if options.again or name not in ended]
        if not due:
            continue
        needed = {*due, *(need for name in due for need in NEEDS.get(name, ()))}
        shutil.rmtree(folder, ignore_errors=True)
        write_set(folder, kind, count, seed)
        print(f"{i}: {kind}, {count} images", flush=True)
        found, at = one_set(folder, [name for name in COMMANDS if name in needed], warm), commit()
        warm = False
        ended |= {name: {"said": found[name][0], "seconds": found[name][1], "commit": at} for name in due}
        record.write_text(json.dumps({"kind": kind, "images": count, "ended": ended}, indent=1))
        shutil.rmtree(folder)
    return {"sets": [json.loads(path.read_text()) for path in sorted((work / "ended").glob("*.json"))]}


def table(figures: dict[str, Any]) -> str:
    """Markdown: a row for each command, what it said of how many sets."""
    ended = [(name, each["said"]) for one in figures["sets"] for name, each in one["ended"].items()]
    words = {"claim": "claims", "crash": "crashes", "nothing": "nothing found", "refused": "refused"}
    names = [name for name in COMMANDS if any(name == other for other, _ in ended)]
    rows = [
        f"| {name} | " + " | ".join(str(sum(n == name and s.startswith(w) for n, s in ended)) for w in words) + " |"
        for name in names
    ]
    sizes = [one["images"] for one in figures["sets"]]
    commits = sorted({each["commit"] for one in figures["sets"] for each in one["ended"].values()})
    text = f"{len(sizes)} sets of {min(sizes):,} to {max(sizes):,} images, {len(ended)} jobs. 3D commands, `align` and "
    text += f"`isac` had at most {MOST_3D} images of a set. Made at {', '.join(commits)}.\n\n"
    text += f"| command | {' | '.join(words.values())} |\n| --- |{' --- |' * len(words)}\n" + "\n".join(rows) + "\n"
    bad = [
        f"- {name}, {one['images']} images of {one['kind']} noise: {each['said']}"
        for one in figures["sets"]
        for name, each in one["ended"].items()
        if each["said"].startswith(("claim", "crash"))
    ]
    return text + ("\n" + "\n".join(bad) + "\n" if bad else "")
