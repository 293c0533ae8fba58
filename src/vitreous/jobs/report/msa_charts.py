"""Drawings of the report of an ``msa`` job: eigenvalues, maps of the factors with images on them, the tree."""

from html import escape

import numpy as np
from scipy.cluster.hierarchy import dendrogram

from vitreous.averages.msa import FactorMap
from vitreous.jobs.report.axes import BOTTOM, GAP, TOP, WIDTH, Axis, Frame, axis, drawing
from vitreous.jobs.report.charts import Curve, curves
from vitreous.jobs.results.msa import MSAFolder
from vitreous.pictures import data_address, show

__all__ = ["eigenvalue_chart", "map_chart", "score_chart", "tree_chart"]

DOUBLE = 2 * WIDTH + GAP  # a drawing that spans two panels
MOST_POINTS = 1500  # on a map
SHOWN_EIGENVALUES = 40
THUMB = 46.0  # side of an image on a map, in units of the drawing
PICTURE_PX = 64


def eigenvalue_chart(found: MSAFolder) -> str:
    """Eigenvalues in falling order, over the limit of noise: above 1 is no noise."""
    limit = found.figures["noise_limit"]
    unit = limit if np.isfinite(limit) and limit > 0 else 1.0
    values = np.log10((found.spectrum[:SHOWN_EIGENVALUES] / unit).clip(1e-6))
    line = Curve(x=np.arange(1.0, len(values) + 1), y=values, name="eigenvalues")
    low, high = float(min(values.min(), -0.3)), float(max(values.max(), 0.3))
    return curves(
        [line],
        x=axis(1, max(2, len(values)), "factor", whole=True, widen=False),
        y=axis(low, high, "log₁₀ of eigenvalue over noise limit", count=4),
        title="Eigenvalues",
        guides=[(0.0, "noise limit")],
        dots=True,
    )


def score_chart(found: MSAFolder) -> str:
    """What every number of classes scores, less the best one."""
    scores = found.scores - found.scores.min()
    line = Curve(x=np.arange(1.0, len(scores) + 1), y=np.log10(scores + 1.0), name="score")
    return curves(
        [line],
        x=axis(1, max(2, len(scores)), "classes", whole=True, widen=False),
        y=axis(0, float(max(line.y.max(), 1.0)), "log₁₀ (1 + nats x 2 from the best)", count=4),
        title="Scores of numbers of classes",
        dots=True,
    )


def map_chart(found: MSAFolder, shown: FactorMap) -> str:
    """Images as points by their coordinates on two factors, coloured by class, with local averages on them."""
    coordinates, label = found.kept["coordinates"], found.kept["label"]
    used = np.flatnonzero(label >= 0)
    used = used[:: max(1, -(-len(used) // MOST_POINTS))]
    pair = [shown.first, shown.second]
    points = coordinates[used][:, pair]
    frame = Frame(
        x=_spanning(points[:, 0], f"factor {shown.first + 1}"),
        y=_spanning(points[:, 1], f"factor {shown.second + 1}"),
        width=DOUBLE,
        height=470,
    )
    body = []
    for (a, b), k in zip(points, label[used], strict=True):
        x, y = frame.at(float(a), float(b))
        body.append(f'<circle class="dot c{k % 6}" cx="{x:.1f}" cy="{y:.1f}" r="1.7" fill-opacity="0.55"/>')
    for (a, b), image, count in zip(shown.centre, shown.images, shown.count, strict=True):
        x, y = frame.at(float(a), float(b))
        body.append(_thumb(image, x - THUMB / 2, y - THUMB / 2, THUMB, f"average of {count:,} images"))
    return drawing(frame, "".join(body), title=f"Map of factors {shown.first + 1} and {shown.second + 1}")


def _spanning(values: np.ndarray, label: str) -> Axis:
    low, high = np.percentile(values, [0.1, 99.9])
    margin = 0.06 * max(high - low, 1e-12)
    return axis(float(low - margin), float(high + margin), label, count=6, widen=False)


def _thumb(image: np.ndarray, x: float, y: float, side: float, words: str) -> str:
    address = data_address(show(image, largest=PICTURE_PX, fade=True))
    return (
        f'<image x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" href="{address}" '
        f'style="clip-path:circle(48%)"><title>{escape(words)}</title></image>'
    )


def tree_chart(found: MSAFolder) -> str:
    """The upper part of Ward's tree, with the average of every branch below it."""
    branches, images = found.kept["branches"], found.kept["branch_images"]
    drawn = dendrogram(branches, no_plot=True)
    leaves = len(images)
    high = float(branches[:, 2].max())
    frame = Frame(
        x=Axis(low=0.0, high=10.0 * leaves, ticks=(), label=""),
        y=axis(0.0, high, "rise of the sum of squares, √(2 Δ)", count=4),
        width=DOUBLE,
        height=360,
    )
    body = []
    for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        body.append(f'<path class="line c0" style="stroke-width:1.3" d="{frame.path(list(xs), list(ys))}"/>')
    step = frame.at(10.0, 0.0)[0] - frame.at(0.0, 0.0)[0]
    side = min(step - 2.0, BOTTOM - 4.0 + TOP / 2)
    for place, k in enumerate(drawn["leaves"]):
        x, y = frame.at(10.0 * place + 5.0, 0.0)
        body.append(_thumb(images[k], x - side / 2, y + 3.0, side, f"branch {place + 1}"))
    return drawing(frame, "".join(body), title="Tree of classes")
