"""Inputs that the cases make on the fly, and what is looked at in the results."""

import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.forks import in_this_process

__all__ = [
    "NEIGHBOURS",
    "band_correlation",
    "changed_ctf",
    "classes",
    "ctf_applied",
    "little_memory",
    "noise",
    "other_defocus",
    "particles",
    "phase_plate",
    "wait_for",
]

NEIGHBOURS: tuple[tuple[str, tuple[object, ...]], ...] = (("denoise", ()), ("neighbours", ("--runs", 1)))
MOST_BYTES = 5 << 30  # of address space beyond what this process has
BAND_A = (21.0, 24.0)  # where the CTF of the sets of `ctf_applied` is negative


def particles(folder: Path, count: int, box: int) -> Path:
    """``p/particles.star`` of simulated particles in coloured noise, SNR 0.1; the path from the folder."""
    words = ["simulate", "-o", "p", "-n", str(count), "--box", str(box), "--noise", "coloured", "--threads", "1"]
    _done([*words, "--junk-fraction", "0.1", "--pixel-size-A", str(320 / box)], folder)
    return Path("p/particles.star")


def noise(folder: Path, count: int, box: int) -> str:
    """``b.star``: coloured noise alone, with the table of simulated particles."""
    from vitreous.particles import read_star, write_mrc_stack, write_star

    blocks = read_star(folder / particles(folder, count, box))
    white = np.fft.rfft2(np.random.default_rng(0).normal(size=(count, box, box)))
    fall = 1 / (1 + np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)) / 0.05)
    images = np.fft.irfft2(white * fall, s=(box, box))
    write_mrc_stack(folder / "b.mrcs", images / images.std(), 320 / box)
    names = [f"{i + 1:06d}@b.mrcs" for i in range(count)]
    write_star(folder / "b.star", {**blocks, "particles": blocks["particles"].with_columns({"rlnImageName": names})})
    return "b.star"


def changed_ctf(folder: Path) -> tuple[str, ...]:
    """Four tables of 200 particles: one defocus or phase shift that is none, some at 0 kV."""
    from vitreous.particles import read_star, write_star

    blocks = read_star(folder / particles(folder, 200, 32))
    names = [f"{i + 1:06d}@p/particles.mrcs" for i in range(200)]
    table = blocks["particles"].with_columns({"rlnImageName": names})
    defocus, group = table.numbers("rlnDefocusU"), np.ones(200, int)
    group[:10] = 2
    changed = {
        "defnan1": ("rlnDefocusU", np.nan),
        "definf": ("rlnDefocusU", np.inf),
        "psnan": ("rlnPhaseShift", np.nan),
    }
    for name, (column, value) in changed.items():
        values = defocus.copy() if column == "rlnDefocusU" else np.zeros(200)
        values[5] = value
        write_star(folder / f"{name}.star", {**blocks, "particles": table.with_columns({column: values})})
    optics = (
        blocks["optics"].take(np.array([0, 0])).with_columns({"rlnOpticsGroup": [1, 2], "rlnVoltage": [300.0, 0.0]})
    )
    two = table.with_columns({"rlnOpticsGroup": group})
    write_star(folder / "kv0some.star", {**blocks, "optics": optics, "particles": two})
    return (*changed, "kv0some")


def phase_plate(folder: Path) -> Path:
    """``q.star``: 600 particles of 300 micrographs, each with a defocus and a phase shift of its own."""
    from vitreous.particles import read_star, write_star

    blocks = read_star(folder / particles(folder, 600, 64))
    micrograph = np.arange(600) // 2
    draw = np.random.default_rng(0)
    columns = {
        "rlnImageName": [f"{i + 1:06d}@p/particles.mrcs" for i in range(600)],
        "rlnMicrographName": [f"m{m:03d}.mrc" for m in micrograph],
        "rlnPhaseShift": draw.uniform(30, 120, 300)[micrograph],
        "rlnDefocusU": (defocus := draw.uniform(4000, 9000, 300)[micrograph]),
        "rlnDefocusV": defocus,
    }
    write_star(folder / "q.star", {**blocks, "particles": blocks["particles"].with_columns(columns)})
    return Path("q.star")


def other_defocus(star: Path) -> None:
    """The table with another defocus in every row."""
    from vitreous.particles import read_star, write_star

    blocks = read_star(star)
    defocus = blocks["particles"].numbers("rlnDefocusU") - 1000
    write_star(star, {**blocks, "particles": blocks["particles"].with_columns({"rlnDefocusU": defocus})})


def ctf_applied(folder: Path) -> None:
    """``hd/``: 600 particles whose CTF changes sign; ``flip.star``, ``pre.star``: phase-flipped, premultiplied."""
    from vitreous.optics import ctf_2d
    from vitreous.particles import read_particles, read_star, write_mrc_stack, write_star

    words = [
        "simulate",
        "-o",
        "hd",
        "-n",
        "600",
        "--box",
        "72",
        "--pixel-size-A",
        "5",
        "--snr",
        "0.3",
        "--seed",
        "5",
        "--threads",
        "1",
    ]
    _done([*words, "--defocus-min-A", "25000", "--defocus-max-A", "40000"], folder)
    plain, blocks = read_particles(folder / "hd/particles.star"), read_star(folder / "hd/particles.star")
    images, transfer = np.fft.rfft2(plain.read(slice(None))), ctf_2d(plain.ctf, 72, 5.0).numpy()
    for name, factor, flag in (("pre", transfer, True), ("flip", np.sign(transfer), False)):
        write_mrc_stack(folder / f"{name}.mrcs", np.fft.irfft2(images * factor, s=(72, 72)), 5.0)
        names = [f"{i + 1:06d}@{name}.mrcs" for i in range(len(images))]
        new = {**blocks, "particles": blocks["particles"].with_columns({"rlnImageName": names})}
        if flag:
            new["optics"] = blocks["optics"].with_columns({"rlnCtfDataAreCtfPremultiplied": [1]})
        write_star(folder / f"{name}.star", new)


def band_correlation(folder: Path, jobs: Sequence[Path]) -> list[float]:
    """Of every class of some jobs on ``ctf_applied`` with the mean of its members' clean projections, in `BAND_A`."""
    from vitreous.matching import Alignments
    from vitreous.matching.alignments import turned
    from vitreous.particles import read_particles, read_stack, read_star, read_volume
    from vitreous.quality.class_truth import class_frame_poses
    from vitreous.volumes.projections import projector

    truth, project = (
        read_star(folder / "hd/truth.star")["particles"],
        projector(read_volume(folder / "hd/volume_1.mrc")),
    )
    true_A = np.stack([truth.numbers(f"rlnOrigin{axis}Angst") for axis in "XY"], 1)
    k = np.hypot(np.fft.fftfreq(72)[:, None], np.fft.rfftfreq(72)) / 5.0
    band = (k > 1 / BAND_A[1]) & (k < 1 / BAND_A[0])
    out = []
    for job in jobs:
        found = Alignments.from_particles(data := read_particles(job / "run_data.star"))
        origin_A = turned(true_A - found.origin_A, found.psi_rad)
        clean = np.asarray(project(class_frame_poses(data.table, truth).numpy(), origin_A))
        for average, members in ((a, found.reference == i) for i, a in enumerate(read_stack(job / "run_classes.mrcs"))):
            if members.sum() >= 20:
                a, b = (np.fft.rfft2(image)[band] for image in (average, clean[members].mean(0)))
                out.append(float(np.real(np.vdot(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b))))
    return out


def classes(job: Path) -> np.ndarray | None:
    """Class numbers of a job of class2d; None where it has none."""
    from vitreous.particles import read_star

    path = job / "run_data.star"
    return read_star(path)["particles"].numbers("rlnClassNumber") if path.is_file() else None


def wait_for(path: Path, most_s: float = 120.0) -> None:
    """Until a file is there, or for so long."""
    end = time.perf_counter() + most_s
    while not path.exists() and time.perf_counter() < end:
        time.sleep(0.01)


def little_memory() -> None:
    """A limit for this process: some gigabytes more than it has."""
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MOST_BYTES, has + MOST_BYTES))


def _done(words: list[str], folder: Path) -> None:
    ended = in_this_process(words, folder)
    if ended.status:
        raise RuntimeError(ended.said)
