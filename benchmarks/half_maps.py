"""What half maps claim: their resolution against the truth, noise, and what a map of each size costs.

Half maps are a phantom, blurred by a B-factor, with white noise of a share of its largest density, made twice. The
mask comes from their mean, as in `vitreous postprocess`. *Claimed* is where the corrected FSC falls below 0.143; *true*
is where the FSC of the mean with the phantom, in the same mask, falls below 0.5, which is the same where the theory
holds. Noise alone is white, coloured or confined to a ball, each with a mask that was made from the mean of the two.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tables import markdown_table
from vitreous.particles import Volume
from vitreous.quality import shell_correlation
from vitreous.simulate import phantom
from vitreous.volumes import (
    apply_b_factor,
    apply_mask,
    automatic_mask,
    half_map_fsc,
    mean_of_halves,
    postprocess,
    spherical_mask,
)

OBJECTS = {"small": 2.5, "channel": 3.5, "ribosome-like": 5.5}  # phantom -> pixel size in A
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4)
BOX_PX, B_FACTOR_A2 = 64, 100.0
SIZES = (64, 128)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--repeats", type=int, default=6, help="pairs of half maps for every object and noise")
    parser.add_argument("--noise-pairs", type=int, default=150)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Claims, false claims and CPU seconds."""
    torch.set_num_threads(1)
    claims = [_claims(name, level, options.repeats) for name in OBJECTS for level in LEVELS]
    noise = [_noise(kind, options.noise_pairs // 3) for kind in ("white", "coloured", "in a ball")]
    return {"box_px": BOX_PX, "repeats": options.repeats, "claims": claims, "noise": noise, "cost": _cost()}


def _truth(name: str, box: int = BOX_PX) -> Volume:
    pixel = OBJECTS[name] * BOX_PX / box
    return apply_b_factor(Volume(data=phantom(box, pixel, name).numpy(), pixel_size_A=pixel), B_FACTOR_A2)


def _halves(true: Volume, level: float, seed: int) -> tuple[Volume, Volume]:
    rng, sd = np.random.default_rng(seed), level * true.data.max()
    one, two = (true.with_data(true.data + sd * rng.normal(size=true.data.shape)) for _ in range(2))
    return one, two


def _claims(name: str, level: float, repeats: int) -> dict[str, Any]:
    true, claimed, known = _truth(name), [], []
    for seed in range(repeats):
        one, two = _halves(true, level, seed)
        mean = mean_of_halves(one, two)
        mask = automatic_mask(mean)
        fsc = half_map_fsc(one, two, mask, seed=seed)
        with_truth = shell_correlation(*(torch.from_numpy(v.data * mask.data) for v in (mean, true)))
        claimed.append(fsc.resolution_A)
        known.append(fsc.resolution_of(with_truth.double().numpy(), 0.5))
    ratio = np.array(claimed) / np.array(known)
    row = {
        "object": name,
        "noise": level,
        "claimed_A": round(float(np.median(claimed)), 2),
        "true_A": round(float(np.median(known)), 2),
        "ratio_lowest": round(float(ratio.min()), 3),
        "ratio_median": round(float(np.median(ratio)), 3),
        "ratio_highest": round(float(ratio.max()), 3),
    }
    print(row, flush=True)
    return row


def _noise(kind: str, pairs: int) -> dict[str, Any]:
    claims, highest = 0, 0.0
    for seed in range(pairs):
        rng = np.random.default_rng(seed)
        n = int(rng.choice([24, 31, 40, 48]))
        both = [Volume(data=rng.normal(size=(n, n, n)), pixel_size_A=3.0) for _ in range(2)]
        if kind == "coloured":
            slope = rng.uniform(50.0, 800.0)
            both = [apply_b_factor(half, slope) for half in both]
        elif kind == "in a ball":
            diameter = 3.0 * n * rng.uniform(0.3, 0.8)
            both = [apply_mask(half, spherical_mask(half, diameter)) for half in both]
        try:
            mask = automatic_mask(mean_of_halves(*both))
        except ValueError:
            mask = None  # nothing stands out
        fsc = half_map_fsc(both[0], both[1], mask, seed=seed)
        claims += bool(np.isfinite(fsc.resolution_A))
        highest = max(highest, fsc.significance)
    return {"noise": kind, "pairs": pairs, "claims": claims, "highest_significance": round(highest, 2)}


def _cost() -> list[dict[str, Any]]:
    rows = []
    for box in SIZES:
        halves, start = _halves(_truth("channel", box), 0.1, 0), time.process_time()
        postprocess(*halves, local=False)
        middle = time.process_time()
        postprocess(*halves)
        seconds = time.process_time() - middle
        without = middle - start
        rows.append({"box_px": box, "without_local_s": round(without, 1), "all_s": round(seconds, 1)})
    return rows


def table(figures: dict[str, Any]) -> str:
    """The tables."""
    head = f"{figures['repeats']} pairs of half maps each, {figures['box_px']} pixels."
    claims = markdown_table(
        ("object", "noise", "claimed (A)", "true (A)", "claimed / true: lowest", "median", "highest"),
        [tuple(row.values()) for row in figures["claims"]],
    )
    noise = markdown_table(
        ("noise alone", "pairs", "claims", "highest significance (5 is asked for)"),
        [tuple(row.values()) for row in figures["noise"]],
    )
    cost = markdown_table(
        ("box", "all but local resolution (CPU s)", "all (CPU s)"), [tuple(row.values()) for row in figures["cost"]]
    )
    return f"{head}\n\n{claims}\n\n{noise}\n\n{cost}"
