"""Memory of a classification of a million particles: resident, with what is mapped from files.

Images of 32 pixels are made as a stream: twenty projections of a phantom, turned at random by quarter turns, with their
own noise. Two passes of `class2d` and its final pass over everything; the data are removed afterwards.
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import run_child

__all__ = ["add_options", "make_particles", "measure", "table"]

BOX, PIXEL_A, SNR, AT_ONCE = 32, 10.0, 0.2, 20_000
HEAD = """data_optics

loop_
_rlnOpticsGroup #1
_rlnVoltage #2
_rlnSphericalAberration #3
_rlnAmplitudeContrast #4
_rlnImagePixelSize #5
_rlnImageSize #6
1 300 2.7 0.1 {pixel} {box}

data_particles

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnDefocusU #3
_rlnOpticsGroup #4
"""


def make_particles(folder: Path, count: int, seed: int) -> Path:
    """``particles.star`` and its stack; no more than some thousand images are in memory."""
    from vitreous.particles import MrcStackWriter
    from vitreous.rotations import fibonacci_directions
    from vitreous.simulate import phantom
    from vitreous.volumes import project_map

    views = _views(phantom, fibonacci_directions, project_map)
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    star = folder / "particles.star"
    with MrcStackWriter(folder / "particles.mrcs", box_px=BOX, pixel_size_A=PIXEL_A) as stack, star.open("w") as file:
        file.write(HEAD.format(pixel=PIXEL_A, box=BOX))
        for start in range(0, count, AT_ONCE):
            n = min(AT_ONCE, count - start)
            images = views[draw.integers(len(views), size=n)]
            images += draw.standard_normal(images.shape, dtype=np.float32)
            stack.append(images)
            rows = range(start, start + n)
            file.writelines(f"{i + 1:07d}@particles.mrcs m{i % 5000:04d}.mrc {10000 + i % 5000} 1\n" for i in rows)
    return star


def _views(phantom: Any, directions: Any, project: Any) -> np.ndarray:
    """(80, BOX, BOX): twenty views in four turns, of variance SNR."""
    import torch

    from vitreous.particles import Volume
    from vitreous.rotations import euler_to_matrix

    volume = Volume(data=phantom(BOX, PIXEL_A).numpy(), pixel_size_A=PIXEL_A)
    x, y, z = directions(20).numpy().T
    angles = np.stack([np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arccos(z)), np.zeros(20)], axis=1)
    images = np.asarray(project(volume, euler_to_matrix(torch.from_numpy(angles)).numpy()), dtype=np.float32)
    images *= np.float32((SNR / images.var()) ** 0.5)
    return np.concatenate([np.rot90(images, k, axes=(1, 2)) for k in range(4)]).astype(np.float32)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks million``."""
    parser.add_argument("--particles", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="keep the data")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Peak resident memory of the process, of the files in memory too, as the system counts it."""
    shutil.rmtree(work, ignore_errors=True)
    star = make_particles(work / "data", options.particles, 0)
    job = work / "job"
    words = ["class2d", star, "-o", job, "--K", options.classes, "--iter", 2, "--threads", 1]
    cost = run_child([sys.executable, "-m", "vitreous", *map(str, words)], work / "log.txt")
    files = {f"{kind}_MB": sum(p.stat().st_size for p in job.glob(kind)) / 1e6 for kind in ("run*", "checkpoints/*")}
    stack_MB = star.with_suffix(".mrcs").stat().st_size / 1e6
    if not options.keep:
        shutil.rmtree(work)
    return {"particles": options.particles, "stack_MB": stack_MB, **cost.figures(), **files}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    return (
        f"{figures['particles']:,} particles of {BOX} pixels ({figures['stack_MB']:,.0f} MB): at most "
        f"{figures['peak_MB']:,.0f} MB resident, {figures['cpu_s']:,.0f} CPU seconds with one thread. Left in the "
        f"folder: {figures['run*_MB']:,.0f} MB of results, {figures['checkpoints/*_MB']:,.0f} MB of checkpoints.\n"
    )
