"""What other ways of picking find: RELION's templates, and plain normalised correlation with the bank of ours.

RELION's picker is ``relion_autopick`` with the same templates, given at the pixel size that ours works at. Its scores
depend on the greyscale of templates, which should be that of the signal in units of noise (:data:`GREYS` to choose
from), and on a low-pass filter, chosen on a micrograph of another seed. It is given the CTF where there is one. The
threshold is 0, so that the list is full, and the least distance is that of ours.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import torch
from scipy.fft import next_fast_len
from scipy.ndimage import uniform_filter

from benchmarks.child import run_child
from vitreous.micrographs import Bank
from vitreous.micrographs.cleaning import clean
from vitreous.micrographs.peaks import find_peaks
from vitreous.optics import CTFParameters
from vitreous.particles import Table, read_star, write_mrc_stack, write_star

__all__ = ["GREYS", "correlated", "relion_picks", "relion_version"]

APART = 0.75  # diameters between picks
GREYS, LOWPASS_A = (0.8, 1.6, 3.2), 30.0
CTF_COLUMNS = {
    "rlnDefocusU": "defocus_u_A",
    "rlnDefocusV": "defocus_v_A",
    "rlnDefocusAngle": "defocus_angle_deg",
}
GROUP_COLUMNS = {
    "rlnVoltage": "voltage_kV",
    "rlnSphericalAberration": "cs_mm",
    "rlnAmplitudeContrast": "amplitude_contrast",
}


def correlated(data: np.ndarray, pixel_size_A: float, bank: Bank) -> tuple[np.ndarray, np.ndarray]:
    """(places x, y (n, 2) in pixels of the micrograph, scores (n,)) of the highest normalised correlation.

    The correlation coefficient of the window and a filter within the square of the filter (Lewis 1995), at the pixel
    size of the bank and after the same cleaning of hot pixels and background as ours, without what ours does at carbon.
    """
    image = clean(data, pixel_size_A, bank.pixel_size_A, invert=True)
    picture, m = image.data.astype(np.float64), bank.filters.shape[1]
    mean, square = (uniform_filter(values, m, mode="constant", origin=0) for values in (picture, np.square(picture)))
    spread = torch.from_numpy(np.sqrt(np.maximum(square - mean**2, 1e-12)) * m)
    rows, columns = picture.shape
    shape = [int(next_fast_len(n + m, real=True)) for n in picture.shape]
    ft = torch.fft.rfft2(torch.from_numpy(picture.astype(np.float32)), s=shape)
    highest = torch.full((rows, columns), -torch.inf)
    for template in bank.filters:
        even = template - template.mean()
        template_ft = torch.fft.rfft2(torch.from_numpy(even / np.sqrt(np.square(even).sum())), s=shape)
        found = torch.roll(torch.fft.irfft2(ft * template_ft.conj(), s=shape), (m // 2, m // 2), (0, 1))
        highest = torch.maximum(highest, found[:rows, :columns])
    score = (highest / spread).numpy()
    index = find_peaks(score, APART * bank.diameter_px, 0.0)
    xy = index[:, ::-1] / np.array(image.scale)
    edge = 0.5 * bank.diameter_A / pixel_size_A
    inside = np.minimum(xy, np.array(data.shape[::-1]) - 1 - xy).min(axis=1, initial=np.inf) >= edge
    return xy[inside], score[tuple(index.T)][inside]


def relion_version() -> str | None:
    """Of the installed picker; None where there is none."""
    if shutil.which("relion_autopick") is None:
        return None
    text = subprocess.run(["relion_autopick", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version:\s*([\w.]+)", text)
    return found[1] if found else "unknown"


def relion_picks(
    folder: Path,
    pictures: Sequence[np.ndarray],
    pixel_size_A: float,
    ctf: Sequence[CTFParameters | None],
    templates: np.ndarray,
    template_pixel_A: float,
    diameter_A: float,
    *,
    angles: int,
    grey: float,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], float]:
    """((places (n, 2), scores (n,)) of every picture, CPU seconds each)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        with mrcfile.new(folder / f"m{i}.mrc") as file:
            file.set_data(picture.astype(np.float32))
            file.voxel_size = pixel_size_A
    _write_list(folder, ctf, pixel_size_A)
    scaled = templates / templates.std() * grey
    write_mrc_stack(folder / "templates.mrcs", scaled.astype(np.float32), template_pixel_A)
    command = (
        *("relion_autopick", "--i", "micrographs.star", "--odir", "out/", "--pickname", "picks"),
        *("--ref", "templates.mrcs", "--angpix_ref", template_pixel_A, "--particle_diameter", diameter_A),
        *("--ang", 360.0 / angles, "--invert", "--lowpass", LOWPASS_A, "--threshold", 0),
        *("--min_distance", APART * diameter_A, "--shrink", round(pixel_size_A / template_pixel_A, 3)),
        *(("--ctf",) if ctf[0] is not None else ()),
    )
    cost = run_child([str(word) for word in command], folder / "relion.log", cwd=folder, threads=1)
    found = [_picks_of(folder / "out" / f"m{i}_picks.star") for i in range(len(pictures))]
    return found, cost.cpu_s / len(pictures)


def _picks_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    table = next(iter(read_star(path).values()))
    xy = np.stack([table.numbers("rlnCoordinateX"), table.numbers("rlnCoordinateY")], axis=1)
    return xy, table.numbers("rlnAutopickFigureOfMerit")


def _write_list(folder: Path, ctf: Sequence[CTFParameters | None], pixel_size_A: float) -> None:
    first = ctf[0]
    group: dict[str, Any] = {
        "rlnOpticsGroupName": ["one"],
        "rlnOpticsGroup": [1],
        "rlnMicrographPixelSize": [pixel_size_A],
    }
    rows: dict[str, Any] = {
        "rlnMicrographName": [f"m{i}.mrc" for i in range(len(ctf))],
        "rlnOpticsGroup": [1] * len(ctf),
    }
    if first is None:
        values = {"rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]}
    else:
        values = {column: [float(getattr(first, name)[0])] for column, name in GROUP_COLUMNS.items()}
        for column, name in CTF_COLUMNS.items():
            rows[column] = [float(getattr(one, name)[0]) for one in ctf if one is not None]
    write_star(
        folder / "micrographs.star",
        {"optics": Table.from_arrays(group | values), "micrographs": Table.from_arrays(rows)},
    )
