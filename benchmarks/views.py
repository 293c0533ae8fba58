"""Benchmark data for neighbours and denoising: views of the 70S ribosome whose clean images are known.

Views are uniformly random, unshifted, in 20 defocus groups without envelope. SNR is the variance of the CTF-filtered
clean images over that of the white noise, over all pixels of all images. One seed draws views and groups, another the
noise. Projections come from the scoring scripts beside the project.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sticks
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from vitreous.particles import MrcStackWriter, Table, image_name, read_volume, write_star

__all__ = ["MAP", "Case", "Views", "add_view_options", "cases", "make_stack", "make_views"]

MAP = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data" / "maps" / "ribosome70S_65.mrc", REPOSITORY))
PIXEL_A = 2.82  # whatever the map says
DEFOCUS_A = np.linspace(10_000, 40_000, 20)
VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST = 300.0, 2.0, 0.07
BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Views:
    """Views on disk. ``rotations`` turn image into volume coordinates: their third column is the viewing direction."""

    folder: Path
    rotations: np.ndarray  # (n, 3, 3)
    defocus_A: np.ndarray  # (n,)
    signal_variance: float  # of the CTF-filtered clean images, all pixels

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def clean(self) -> np.ndarray:
        """Noise-free projections without CTF (n, L, L), mapped from the file."""
        return np.load(self.folder / "clean.npy", mmap_mode="r")

    @property
    def filtered(self) -> np.ndarray:
        """The same with CTF."""
        return np.load(self.folder / "filtered.npy", mmap_mode="r")


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Where data come from and where they are kept."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of cryosim.py, neighbours_score.py")
    parser.add_argument("--map", type=Path, default=MAP, help="the 70S map of 65 pixels")
    parser.add_argument("--cache", type=Path, help="folder for the data, default bench-out/views")
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[1], help="of views and defocus groups")
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102], help="of the noise")
    parser.add_argument("--inverse-snr", type=int, nargs="+", default=[40, 60, 100], help="40 means SNR 1/40")
    parser.add_argument("--quick", action="store_true", help="one seed of each kind")
    parser.add_argument("--keep", action="store_true", help="keep the noisy stacks")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A noisy stack of known views."""

    views: Views
    star: Path
    inverse_snr: int
    data_seed: int
    seed: int  # of the noise
    first: bool  # of its SNR

    def row(self) -> dict[str, int]:
        """What a record says of it."""
        return {"inverse_snr": self.inverse_snr, "data_seed": self.data_seed, "seed": self.seed}

    def __str__(self) -> str:
        return f"{self.data_seed}-{self.seed}-{self.inverse_snr}"


def cases(options: argparse.Namespace, work: Path, particles: int) -> Iterator[Case]:
    """Every SNR of every seed that the options name; views are kept, stacks go when the next one is asked for."""
    number = 1 if options.quick else None
    for data_seed in options.data_seeds[:number]:
        folder = (options.cache or work.parent / "views") / f"views-{data_seed}-{particles}"
        views = make_views(options.sticks, options.map, folder, seed=data_seed, particles=particles)
        for seed in options.seeds[:number]:
            first = (data_seed, seed) == (options.data_seeds[0], options.seeds[0])
            for inverse_snr in options.inverse_snr:
                star = make_stack(views, inverse_snr=inverse_snr, seed=seed)
                yield Case(views=views, star=star, inverse_snr=inverse_snr, data_seed=data_seed, seed=seed, first=first)
                if not options.keep:
                    star.with_suffix(".mrcs").unlink()
                    star.unlink()


def make_views(stick: Path, map_file: Path, folder: Path, *, seed: int, particles: int) -> Views:
    """Views of a map in ``folder``, made once. Raises NotAvailable without the map or the projector."""
    truth = folder / "truth.npz"
    if not truth.is_file():
        if not (REPOSITORY / map_file).is_file():
            raise NotAvailable(f"the 70S map is not at {map_file}; give --map")
        folder.mkdir(parents=True, exist_ok=True)
        _project(sticks.stick_module(stick, "cryosim"), REPOSITORY / map_file, folder, seed, particles)
    with np.load(truth) as saved:
        return Views(
            folder=folder,
            rotations=saved["rotations"],
            defocus_A=saved["defocus_A"],
            signal_variance=float(saved["signal_variance"]),
        )


def _project(cryosim: Any, map_file: Path, folder: Path, seed: int, n: int) -> None:
    """Write clean.npy, filtered.npy and, last of all, truth.npz."""
    volume = read_volume(map_file, pixel_size_A=PIXEL_A).data
    projector = cryosim.Projector((volume / volume.max()).astype(np.float32))
    box = len(volume)
    rng = np.random.default_rng(seed)
    rot, tilt = rng.uniform(-180, 180, n), np.rad2deg(np.arccos(rng.uniform(-1, 1, n)))
    psi, group = rng.uniform(-180, 180, n), rng.integers(0, len(DEFOCUS_A), n)
    k2 = (projector.KX**2 + projector.KY**2) / (box * PIXEL_A) ** 2
    ctf = np.stack([cryosim.ctf2d(k2, d, VOLTAGE_KV, CS_MM, AMPLITUDE_CONTRAST) for d in DEFOCUS_A])
    ctf = ctf.astype(np.float32)
    clean, filtered = (
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (n, box, box))
        for name in ("clean", "filtered")
    )
    total = squares = 0.0
    for start in range(0, n, BATCH):
        rows = slice(start, start + BATCH)
        slices = projector.slices(rot[rows], tilt[rows], psi[rows])
        clean[rows] = projector.to_real(slices)
        filtered[rows] = images = projector.to_real(slices * ctf[group[rows]])
        total += float(images.sum(dtype=np.float64))
        squares += float(np.square(images, dtype=np.float64).sum())
    variance = squares / filtered.size - (total / filtered.size) ** 2
    clean.flush()
    filtered.flush()
    rotations = np.swapaxes(cryosim.euler_matrix(rot, tilt, psi), 1, 2)
    np.savez(folder / "truth.npz", rotations=rotations, defocus_A=DEFOCUS_A[group], signal_variance=variance)


def make_stack(views: Views, *, inverse_snr: float, seed: int) -> Path:
    """Noisy particles as ``particles.star`` with its stack, made once: the path of the STAR file."""
    folder = views.folder / f"noise-{seed}-{inverse_snr:g}"
    star = folder / "particles.star"
    if star.is_file():
        return star
    folder.mkdir(exist_ok=True)
    rng, deviation = np.random.default_rng(seed), np.sqrt(views.signal_variance * inverse_snr)
    filtered, n = views.filtered, len(views)
    with MrcStackWriter(folder / "particles.mrcs", box_px=filtered.shape[1], pixel_size_A=PIXEL_A) as stack:
        for start in range(0, n, BATCH):
            signal = filtered[start : start + BATCH]
            stack.append(signal + rng.normal(0, deviation, signal.shape).astype(np.float32))
    write_star(star, _tables(views.defocus_A, filtered.shape[1], "particles.mrcs"))
    return star


def _tables(defocus_A: np.ndarray, box_px: int, stack: str) -> dict[str, Table]:
    """Both tables of a RELION 3.1 file."""
    n = len(defocus_A)
    optics = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [VOLTAGE_KV],
        "rlnSphericalAberration": [CS_MM],
        "rlnAmplitudeContrast": [AMPLITUDE_CONTRAST],
        "rlnImagePixelSize": [PIXEL_A],
        "rlnImageSize": [box_px],
        "rlnImageDimensionality": [2],
    }
    particles = {
        "rlnImageName": [image_name(i, stack) for i in range(n)],
        "rlnOpticsGroup": [1] * n,
        "rlnDefocusU": defocus_A,
        "rlnDefocusV": defocus_A,
        "rlnDefocusAngle": np.zeros(n),
    }
    return {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(particles)}
