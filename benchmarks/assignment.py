"""Equal-size assignment of many images at once: time, and the gap of its certificate.

The scores are made up: normal noise ("noise"), or twenty times that with popular and unpopular classes and a class of
its own for every image ("structure"), which is what log posteriors look like. No assignment is better than the one
found by more than the gap.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tables import markdown_table
from vitreous.matching import balanced


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[50, 200])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per number of images and classes and kind of scores."""
    torch.set_num_threads(1)
    balanced(_scores(100, 5, "noise"))  # compiles
    rows = []
    for images in options.images:
        for classes in options.classes:
            for kind in ("noise", "structure"):
                scores = _scores(images, classes, kind)
                start = time.process_time()
                found = balanced(scores)
                seconds = time.process_time() - start
                sizes = np.bincount(found.labels, minlength=classes)
                row = {"images": images, "classes": classes, "kind": kind, "smallest": int(sizes.min())}
                row |= {"largest": int(sizes.max()), "moved": found.moved, "seconds": round(seconds, 2)}
                rows.append({**row, "relative_gap": found.gap / abs(found.total)})
                print(rows[-1], flush=True)
    return {"rows": rows}


def _scores(images: int, classes: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(images, classes))
    if kind == "structure":
        scores = 3 * scores + 5 * rng.normal(size=classes)
        scores[np.arange(images), (rng.random(images) ** 2 * classes).astype(int)] += 15
        scores *= 20
    return scores.astype(np.float32)


def table(figures: dict[str, Any]) -> str:
    """Sizes, moves, seconds and gaps."""
    header = (
        *("images", "classes", "scores", "smallest class", "largest class", "images moved at the end"),
        *("CPU s, one thread", "gap / total"),
    )
    return markdown_table(header, [tuple(r.values()) for r in figures["rows"]])
