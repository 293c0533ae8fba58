"""What the coarse pass of the search loses and saves, against the exhaustive search with the same references.

The references are averages as a run meets them: particles of one half are matched against noise-free projections and
averaged; particles of the other half are then searched both ways. A miss is an image whose best reference of the
exhaustive search is not the best one of the pruned search.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tables import markdown_table
from vitreous.fourier import central_slices, centred_irfft2, prepare_volume, resize_images
from vitreous.matching import (
    ImagePreparation,
    PreparedParticles,
    References,
    Rows,
    SearchPlan,
    best_rows,
    expect,
    find_rows,
    prepare_particles,
    wiener,
)
from vitreous.optics import CTFParameters
from vitreous.rotations import euler_to_matrix
from vitreous.simulate import SimulateSettings, load_volumes, simulate_batches

RANGE_A = 20.0
TILE = 512


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, default=4000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02])
    parser.add_argument("--rings", type=int, nargs="+", default=[8, 12, 16])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per SNR and number of rings."""
    torch.set_num_threads(1)
    rows = []
    for snr in options.snr:
        settings = SimulateSettings(particles=options.particles, snr=snr, seed=1)
        volume = load_volumes(settings)
        data = _prepare(settings, volume, max(options.rings))
        projections = _projections(data, volume[0], options.classes)
        for rings in options.rings:
            rows.append({"snr": snr, "rings": rings, **_one(data, projections, rings)})
            print(rows[-1], flush=True)
    return {"particles": options.particles // 2, "classes": options.classes, "rows": rows}


def _prepare(settings: SimulateSettings, volume: torch.Tensor, rings: int) -> PreparedParticles:
    batches = list(simulate_batches(volume, settings))
    images = np.concatenate([b for b, _ in batches])
    truth = {name: np.concatenate([t[name] for _, t in batches]) for name in batches[0][1]}
    n = len(images)
    ctf = CTFParameters(
        defocus_u_A=truth["rlnDefocusU"],
        defocus_v_A=truth["rlnDefocusV"],
        defocus_angle_deg=truth["rlnDefocusAngle"],
        phase_shift_deg=truth["rlnPhaseShift"],
        voltage_kV=np.full(n, settings.voltage_kV),
        cs_mm=np.full(n, settings.cs_mm),
        amplitude_contrast=np.full(n, settings.amplitude_contrast),
        b_factor_A2=np.zeros(n),
    )
    box_A = settings.box_px * settings.pixel_size_A
    how = ImagePreparation(
        box_px=settings.box_px, pixel_size_A=settings.pixel_size_A, particle_diameter_A=box_A * 7 / 8
    )
    return prepare_particles(lambda index: images[index], n, how, rings=rings, ctf=ctf)


def _projections(data: PreparedParticles, volume: torch.Tensor, count: int) -> torch.Tensor:
    """Noise-free projections from K evenly spread directions, as rings on the scale of the images: (K, R, Q)."""
    i = np.arange(count) + 0.5
    tilt, rot = np.rad2deg(np.arccos(1 - 2 * i / count)), np.rad2deg(np.pi * (1 + 5**0.5) * i)
    angles = torch.from_numpy(np.stack([rot, tilt, 0 * i], 1)).float()
    box = volume.shape[-1]
    images = centred_irfft2(central_slices(prepare_volume(volume), euler_to_matrix(angles), box), box)
    rings = data.basis.unpack(data.basis.expand(resize_images(images, data.basis.box_px)))
    # The images have unit noise; the power of what they have in common sets the scale of the projections.
    excess = (data.group_power[0] - data.group_power[0, -1]).clamp_min(0).sum()
    ours = (rings.abs().square() * data.basis.multiplicity).sum(2).mean(0) * data.mean_ctf_power(0, data.basis.rings)
    return rings * (excess / ours.sum()).sqrt()


def _one(data: PreparedParticles, projections: torch.Tensor, rings: int) -> dict[str, Any]:
    reach_px = RANGE_A / data.pixel_size_A
    plan = data.search(rings, RANGE_A)
    first, second = np.arange(0, len(data), 2), np.arange(1, len(data), 2)
    cut = projections[:, : plan.fine.rings, : plan.fine.harmonics]
    sums, _ = expect(data, first, plan, _references(plan, cut, reach_px, data), data.group_power)
    tau2 = (cut.abs().square() * plan.fine.basis.multiplicity).sum(2).mean(0)
    references = _references(plan, wiener(sums.signal, sums.power, tau2), reach_px, data)
    blocks = plan.blocks(references, TILE)
    (everything,) = blocks.fine
    missed, lost, pruned_s, exhaustive_s = [], [], 0.0, 0.0
    for start in range(0, len(second), TILE):
        tile = data.tile(second[start : start + TILE], rings, data.group_power)
        begin = time.process_time()
        (pruned,) = find_rows([tile], plan, blocks)
        between = time.process_time()
        exhaustive = best_rows(tile.truncated(plan.fine), everything, plan.keep)
        pruned_s += between - begin
        exhaustive_s += time.process_time() - between
        (a, reference_a), (b, reference_b) = (_best(r, len(tile)) for r in (pruned, exhaustive))
        missed.append((reference_a != reference_b).float())
        lost.append(b - a)
    return {
        "coarse_rings": None if plan.coarse is None else plan.coarse.rings,
        "missed": round(float(torch.cat(missed).mean()), 4),
        "lost_nats_mean": round(float(torch.cat(lost).mean()), 4) + 0.0,  # no minus zero
        "pruned_ms": round(1e3 * pruned_s / len(second), 3),
        "exhaustive_ms": round(1e3 * exhaustive_s / len(second), 3),
    }


def _references(
    plan: SearchPlan, averages: torch.Tensor, reach_px: float, data: PreparedParticles
) -> tuple[References | None, References]:
    flat = torch.full((len(averages),), -float(np.log(len(averages))))
    return plan.references(averages, ctf_harmonics=data.ctf_harmonics, log_class_prior=flat, offset_sd_px=reach_px / 2)


def _best(rows: Rows, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) highest log weight of every image and the reference that it belongs to."""
    value = rows.log_weight.amax(1)
    top = torch.full((n,), -torch.inf).scatter_reduce_(0, rows.image, value, "amax")
    reference = torch.full((n,), -1)
    winners = (value == top[rows.image]).nonzero().ravel()
    reference[rows.image[winners]] = rows.reference[winners]
    return top, reference


def table(figures: dict[str, Any]) -> str:
    """Misses and times."""
    header = (
        *("SNR", "rings", "rings of the coarse pass", "best reference missed", "log-likelihood lost (nats)"),
        *("pruned (ms per image)", "exhaustive (ms per image)", "ratio"),
    )
    rows = [
        (r["snr"], r["rings"], r["coarse_rings"], f"{100 * r['missed']:.2f} %", r["lost_nats_mean"], r["pruned_ms"],
         r["exhaustive_ms"], f"{r['exhaustive_ms'] / r['pruned_ms']:.1f}")
        for r in figures["rows"]
    ]  # fmt: skip
    text = (
        f"{figures['particles']:,} images of the ribosome-like phantom, 64 px, 5 A per pixel, K = "
        f"{figures['classes']}, shifts within {RANGE_A:g} A, one thread."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
