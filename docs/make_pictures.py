"""Make the pictures of README and site from the folder of ``make demo``: ``python docs/make_pictures.py [demo]``.

The picture of the report needs a Chromium; without one it stays as it is, and that is said.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.page import Charts
from vitreous.jobs.report.postprocess import half_map_sections
from vitreous.jobs.report.surface import content_reach, surface
from vitreous.jobs.results.refine import read_refined
from vitreous.particles import open_stack, read_volume
from vitreous.pictures import show
from vitreous.rotations import euler_to_matrix

PICTURES = Path(__file__).resolve().parent / "pictures"
PAPER, GAP = 255, 4
TEAL = np.array([120.0, 205.0, 214.0])  # of the surfaces in the reports
LIGHT = np.array([-0.4, 0.5, 0.77])
STEP = 0.5  # pixels, along the line of sight
VIEW_DEG = (20.0, 65.0, 10.0)
STAGES = ("class2d", "deconvolve", "initial", "abinitio", "refine")
STYLE = """
text { font: 11.5px system-ui, sans-serif; fill: #5d646b; }
.grid { stroke: #e2dfd9; } .axis, .guide { stroke: #5d646b; } .guide { stroke-dasharray: 2 4; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.c0 { stroke: #0f6a73; } .c1 { stroke: #c8702a; } .c2 { stroke: #5a6f9c; } .c5 { stroke: #4c4c4c; }
"""


def main(demo: Path) -> None:
    """Write all pictures, and the figures of the run that they are from."""
    PICTURES.mkdir(exist_ok=True)
    particles = open_stack(demo / "simulated" / "particles.mrcs").read(np.arange(16))
    averages = open_stack(demo / "class2d" / "run_classes.mrcs").read(np.arange(12))
    refined, model = (read_volume(demo / name).data for name in ("refine/refined_masked.mrc", "abinitio/abinitio.mrc"))
    save("particles", tiles(particles[:8], 8, 96))
    save("averages", tiles(averages, 6, 128))
    save("model", beside([shaded(model, 280), slices(model, 138)]))
    save("map", beside([shaded(refined, 280), slices(refined, 138)]))
    save("strip", beside([tiles(particles[:6], 2, 130), tiles(averages[:6], 2, 130), shaded(refined, 398)], gap=22))
    fsc_chart(demo / "refine")
    stage_figures(demo)
    report_picture(demo / "report.html")


def tiles(images: np.ndarray, columns: int, side: int) -> np.ndarray:
    """Images (n, L, L) in rows, as the reports show them."""
    rows, pitch = -(-len(images) // columns), side + GAP
    sheet = np.full((rows * pitch - GAP, columns * pitch - GAP), PAPER, np.uint8)
    for i, image in enumerate(images):
        y, x = pitch * (i // columns), pitch * (i % columns)
        shown = Image.fromarray(show(image)).resize((side, side), Image.Resampling.BICUBIC)
        sheet[y : y + side, x : x + side] = np.asarray(shown)
    return sheet


def slices(volume: np.ndarray, side: int) -> np.ndarray:
    """The three slices through the centre and the projection along z, two by two."""
    c = len(volume) // 2
    planes = np.stack([volume[c], volume[:, c], volume[:, :, c], volume.sum(axis=0)])
    return tiles(planes, 2, side)


def shaded(volume: np.ndarray, side: int) -> np.ndarray:
    """A lit isosurface of a map [z, y, x] as RGB, seen along z after a turn; the threshold is that of the report."""
    volume = gaussian_filter(volume.clip(min=0.0), 0.7)
    level = surface(volume, 1.0, title="").level * volume.max()
    reach, n = content_reach(volume) + 1, 3 * side // 2
    axis, planes = np.linspace(-reach, reach, n), np.arange(reach, -reach, -STEP)
    turn = euler_to_matrix(torch.tensor(VIEW_DEG, dtype=torch.float64)).numpy()
    x, y = np.meshgrid(axis, -axis)
    found, depth = np.zeros((n, n), bool), np.full((n, n), -np.inf)
    for z in planes:  # from the front; the first point above the threshold is seen
        inside = _at(volume, turn, x, y, np.full_like(x, z)) > level
        depth[inside & ~found] = z
        found |= inside
    depth[found] += _to_level(volume, turn, x[found], y[found], depth[found], level, STEP)
    slope = np.stack(
        [
            _at(volume, turn, x - dx, y - dy, np.where(found, depth, 0) - dz)
            - _at(volume, turn, x + dx, y + dy, np.where(found, depth, 0) + dz)
            for dx, dy, dz in STEP * np.eye(3)
        ]
    )
    normal = slope / np.maximum(np.linalg.norm(slope, axis=0), 1e-12)
    facing = np.clip(np.tensordot(LIGHT, normal, 1), 0, None)
    light = 0.24 + 0.7 * facing + 0.06 * np.where(found, depth, 0) / reach
    colour = np.where(found[..., None], np.clip(light[..., None] * TEAL, 0, 255), PAPER).astype(np.uint8)
    return np.asarray(Image.fromarray(colour).resize((side, side), Image.Resampling.LANCZOS))


def _at(volume: np.ndarray, turn: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Values of a map at points of the turned frame, in pixels from the centre."""
    points = np.tensordot(turn, np.stack([x, y, z]), 1)[::-1] + len(volume) // 2
    return map_coordinates(volume, points, order=1, mode="constant")


def _to_level(
    volume: np.ndarray, turn: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, level: float, step: float
) -> np.ndarray:
    """How far in front of z, within a step, the threshold is crossed: without it surfaces have terraces."""
    behind, before = _at(volume, turn, x, y, z), _at(volume, turn, x, y, z + step)
    return step * np.clip((behind - level) / np.maximum(behind - before, 1e-12), 0, 1)


def beside(parts: list[np.ndarray], *, gap: int = 10) -> np.ndarray:
    """Pictures side by side, in the middle of their height, on paper."""
    height = max(len(part) for part in parts)
    columns = []
    for part in parts:
        rgb = np.repeat(part[..., None], 3, axis=2) if part.ndim == 2 else part
        above = (height - len(rgb)) // 2
        padded = np.pad(rgb, ((above, height - len(rgb) - above), (0, 0), (0, 0)), constant_values=PAPER)
        columns += [padded, np.full((height, gap, 3), PAPER, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def save(name: str, picture: np.ndarray) -> None:
    """Write a PNG as small as it gets without a loss that can be seen."""
    image = Image.fromarray(picture)
    path = PICTURES / f"{name}.png"
    (image.quantize(128) if image.mode == "RGB" else image.quantize(64)).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def fsc_chart(folder: Path) -> None:
    """The curves of the half maps, as their report draws them."""
    panels = (panel for section in half_map_sections(read_refined(folder).post) for panel in section.panels)
    _, drawing = next(panel.drawings[0] for panel in panels if isinstance(panel, Charts))
    head, _, rest = drawing.partition(">")
    paper = '<rect x="-60" y="-40" width="120%" height="130%" fill="#fff"/>'
    (PICTURES / "fsc.svg").write_text(f'{head} width="560"><style>{STYLE}</style>{paper}{rest}\n', encoding="utf-8")


def stage_figures(demo: Path) -> None:
    """Seconds and what came out, for the table in the tutorial."""
    stages = {name: manifest.summary for name in STAGES if (manifest := read_manifest(demo / name)) is not None}
    kept = {
        name: {key: value for key, value in summary.items() if isinstance(value, int | float | str)}
        for name, summary in stages.items()
    }
    run = read_manifest(demo)
    machine = {} if run is None else {**run.machine, "cpu_note": "two cores"}
    text = json.dumps({"machine": machine, "stages": kept}, indent=1, sort_keys=True)
    (PICTURES / "demo.json").write_text(text + "\n", encoding="utf-8")


def report_picture(report: Path) -> None:
    """The top of the report in a browser."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("no Chromium here: report.png stays as it is")
        return
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "report.png"
        options = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=4000")
        subprocess.run(
            [browser, *options, "--window-size=1400,1500", f"--screenshot={shot}", report.resolve().as_uri()],
            check=True,
            capture_output=True,
        )
        with Image.open(shot) as image:
            smaller = image.convert("RGB").resize((980, 1050), Image.Resampling.LANCZOS)
    save("report", np.asarray(smaller))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
