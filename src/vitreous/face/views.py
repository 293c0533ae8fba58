"""What the results of each job look like: a sentence, and pictures with captions."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitreous.particles import ParticleSet, Volume
from vitreous.pictures import Shown, map_pictures, shown

__all__ = ["heading", "maps_of", "pictures"]

Tiles = tuple[Iterable[np.ndarray], Iterable[str]]  # images (L, L), or rows of them (m, L, L), and their captions


@dataclass(frozen=True, kw_only=True)
class _View:
    words: Callable[[Any], str]
    tiles: Callable[[Any, int, ParticleSet | None], Tiles]


def heading(task: str, value: Any) -> str:
    """A sentence on the result of a job."""
    return VIEWS[task].words(value) if task in VIEWS else f"a result of {task}"


def pictures(task: str, value: Any, n: int, particles: ParticleSet | None) -> Shown:
    """At most n pictures of a result; particles: those that the job was given, for pairs with their images."""
    maps = maps_of(value)
    if maps:
        rows = [row for volume in maps.values() for row in map_pictures(volume.data)]
        names = [f"{name}, {what}" for name in maps for what in ("slices xy, xz, yz", "projections")]
        return shown(heading(task, value), rows[: 2 * n], names[: 2 * n], fade=False)
    images, captions = VIEWS[task].tiles(value, n, particles) if task in VIEWS else ([], [])
    return shown(heading(task, value), images, captions)


def maps_of(value: Any) -> dict[str, Volume]:
    """The maps of a result by what they are, the most important one first; none of a two-dimensional one."""
    if isinstance(value, Volume):
        return {"map": value}
    if hasattr(value, "last"):  # a whole run
        return dict(value.last.maps)
    model = getattr(value, "model", value)  # of the methods from averages
    if hasattr(model, "conformations"):
        means = [one.mean for one in model.conformations]
        return _numbered("map", means) | ({} if model.variance is None else {"variance": model.variance})
    if hasattr(value, "volumes"):
        return _numbered("map", value.volumes)
    if hasattr(value, "post"):  # a refinement
        return {"sharpened map": value.post.masked, "unsharpened map": getattr(value, "full", None) or value.mean}
    if hasattr(value, "sharpened"):
        return {"masked map": value.masked, "sharpened map": value.sharpened}
    names = {"full": "map", "mean": "posterior mean", "variance": "posterior variance"}
    found = {words: getattr(value, name, None) for name, words in names.items()}
    return {words: volume for words, volume in found.items() if isinstance(volume, Volume)}


def _numbered(name: str, volumes: Iterable[Volume]) -> dict[str, Volume]:
    found = list(volumes)
    return {name if len(found) == 1 else f"{name} {i + 1}": volume for i, volume in enumerate(found)}


def _A(value: float) -> str:
    return f"{value:.1f} Å" if np.isfinite(value) else "not resolved"


def _of_classes(what: str) -> _View:
    """Averages with their population and resolution."""

    def words(value: Any) -> str:
        filled, members = int((value.population > 0).sum()), int(value.population.sum())
        best = float(np.min(value.resolution_A, initial=np.inf))
        nothing = "" if getattr(value, "found_signal", True) else "; nothing was found"
        return f"{filled} {what} of {members:,} particles, the best to {_A(best)}{nothing}"

    def tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
        figures = zip(value.population[:n], value.resolution_A[:n], strict=True)
        return value.averages[:n], [f"{k}: {count:,}, {_A(a)}" for k, (count, a) in enumerate(figures, 1)]

    return _View(words=words, tiles=tiles)


def _align_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    return [value.average, *value.halves], ["average", "half 1", "half 2"]


def _stability_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    error = value.error_A[:n] / value.pixel_size_A
    return value.averages[:n], [f"{k}: {e:.2f} px" for k, e in enumerate(error, 1)]


def _msa_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    factors = [f"eigenimage {k}" for k in range(1, len(value.eigenimages) + 1)][:n]
    classes = [f"class {k}" for k in range(1, len(value.averages) + 1)][:n]
    return [*value.eigenimages[:n], *value.averages[:n]], [*factors, *classes]


def _neighbour_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    captions = [f"of {i + 1}: {_A(a)}" for i, a in zip(value.average_of[:n], value.resolution_A[:n], strict=True)]
    return value.averages[:n], captions


def _denoised_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    good = np.flatnonzero(value.weight > 0)
    rows = np.unique(good[np.linspace(0, len(good) - 1, min(n, len(good))).astype(int)]) if len(good) else good
    pairs = value.images[rows][:, None]
    if particles is not None:
        pairs = np.concatenate([particles.read(rows)[:, None], pairs], axis=1)
    return list(pairs), [f"{row + 1}" for row in rows]


def _deconvolved_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    pairs = np.stack([value.plain[:n], value.averages[:n]], axis=1)
    figures = zip(value.class_number[:n], value.population[:n], strict=True)
    return list(pairs), [f"{number}: {count:,}" for number, count in figures]


def _projected_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    angles = value.angles_deg[value.shown[:n]]
    return value.images[:n], [f"{k + 1}: {rot:.0f}°, {tilt:.0f}°" for k, (rot, tilt, _) in enumerate(angles)]


def _extracted_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    return [value.mean, *value.examples[:n]], ["mean of all", *(f"{number}" for number in value.number[:n])]


def _bias_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    captions = [f"{count:,}: {c:.2f}" for count, c in zip(value.counts[:n], value.correlation[:n], strict=True)]
    return [value.reference, *value.averages[:n]], ["reference", *captions]


def _starts(value: Any) -> str:
    model = getattr(value, "model", value)
    return f"an initial model, {model.restarts_agreeing} of {len(model.scores)} restarts agree; its hand is not known"


def _abinitio(value: Any) -> str:
    count = len(value.volumes)
    what = "a volume" if count == 1 else f"{count} volumes"
    agree = f", {value.starts_agreeing} of {len(value.starts)} starts agree" if len(value.starts) > 1 else ""
    nothing = "" if value.found_signal else "; nothing was found"
    return f"{what} of {int(value.poses.known.sum()):,} particles{agree}; the hand is not known{nothing}"


def _classes_3d(value: Any) -> str:
    return f"{len(value.classes)} maps; whether the particles show so many is said in its messages"


def _refined(value: Any) -> str:
    if not value.found_signal:
        return "no resolution is claimed"
    return (
        f"a map of {int((value.half >= 0).sum()):,} particles: {_A(value.resolution_A)} within the sphere "
        "(95 % certain), "
        f"{_A(value.masked_resolution_A)} within the mask"
    )


def _whole(value: Any) -> str:
    return f"{value.last.task} of a run of {', '.join(value.stages)}: {heading(value.last.task, value.last.value)}"


def _mixture(value: Any) -> str:
    mixture = getattr(value, "mixture", value)
    return f"{len(mixture):,} Gaussians of {1 / np.sqrt(mixture.precision_per_A2):.1f} Å"


def _mixture_tiles(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    """The density of the means on a grid, from the front, the side and above."""
    mixture = getattr(value, "mixture", value)
    planes = [(0, 1), (0, 2), (1, 2)] if mixture.dimension == 3 else [(0, 1)]
    return [_projected(mixture, plane) for plane in planes], ["xyz"[a] + "xyz"[b] for a, b in planes]


def _projected(mixture: Any, plane: tuple[int, int], side: int = 96) -> np.ndarray:
    """A mixture along the third axis, rows along the second axis of the plane: (side, side)."""
    reach = 1.2 * float(np.abs(mixture.means_A).max()) + 2 / np.sqrt(mixture.precision_per_A2)
    axis = np.linspace(-reach, reach, side)
    across, along = (
        np.exp(-0.5 * mixture.precision_per_A2 * (axis[:, None] - mixture.means_A[None, :, i]) ** 2) for i in plane
    )
    return np.asarray((along * mixture.weights) @ across.T)


def _nothing(value: Any, n: int, particles: ParticleSet | None) -> Tiles:
    return [], []


CLASSES = _of_classes("classes")
VIEWS: Mapping[str, _View] = {
    "class2d": CLASSES,
    "mra": CLASSES,
    "isac": _of_classes("validated classes"),
    "align": _View(
        words=lambda v: f"an average of {int(v.alignments.known.sum()):,} particles, {_A(v.resolution_A)}",
        tiles=_align_tiles,
    ),
    "stability": _View(
        words=lambda v: f"{int(v.stable.sum())} of {int((v.tested > 0).sum())} classes are stable",
        tiles=_stability_tiles,
    ),
    "msa": _View(
        words=lambda v: (
            f"{v.significant} significant factors, {len(v.averages)} classes of {int(v.population.sum()):,} particles"
        ),
        tiles=_msa_tiles,
    ),
    "neighbours": _View(
        words=lambda v: (
            f"{v.neighbours.shape[1]} neighbours of {int(v.weight.sum()):,} particles, "
            f"{len(v.averages)} averages" + ("" if v.found_signal else "; nothing was found")
        ),
        tiles=_neighbour_tiles,
    ),
    "class3d": _View(words=_classes_3d, tiles=_nothing),
    "ctf": _View(words=lambda v: f"the CTF of {len(v.micrographs):,} micrographs", tiles=_nothing),
    "denoise": _View(
        words=lambda v: (
            f"{int(v.weight.sum()):,} denoised images, details to {_A(v.model.cutoff_A)}"
            + ("" if v.model.found_signal else "; nothing was found: each is the mean image")
        ),
        tiles=_denoised_tiles,
    ),
    "deconvolve": _View(
        words=lambda v: f"{len(v.averages)} deconvolved averages of {int(v.population.sum()):,} particles",
        tiles=_deconvolved_tiles,
    ),
    "model-bias": _View(
        words=lambda v: f"{len(v.counts)} averages of noise that was aligned to a reference",
        tiles=_bias_tiles,
    ),
    "initial": _View(words=_starts, tiles=_nothing),
    "abinitio": _View(words=_abinitio, tiles=_nothing),
    "refine": _View(words=_refined, tiles=_nothing),
    "run": _View(words=_whole, tiles=_nothing),
    "postprocess": _View(words=lambda v: f"a map of two halves, {_A(v.resolution_A)}", tiles=_nothing),
    "project": _View(words=lambda v: f"{v.count:,} projections", tiles=_projected_tiles),
    "pick": _View(words=lambda v: f"{len(v.picks):,} picks in {len(v.micrographs):,} micrographs", tiles=_nothing),
    "extract": _View(
        words=lambda v: (
            f"{0 if v.particles is None else len(v.particles):,} boxes of {len(v.micrographs):,} "
            f"micrographs, {len(v.left_out):,} left out"
        ),
        tiles=_extracted_tiles,
    ),
    "reconstruct": _View(words=lambda v: "a reconstruction", tiles=_nothing),
    "mixture": _View(words=_mixture, tiles=_mixture_tiles),
}
