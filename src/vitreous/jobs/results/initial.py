"""The result files of an ``initial`` job, written and read back."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
from vitreous.mixtures import Mixture, project, write_pseudo_atoms
from vitreous.mixtures.gaussian_noise.forward import apply_ctf
from vitreous.models import InitialModelResult
from vitreous.particles import (
    ParticleSet,
    Table,
    Volume,
    complete_optics,
    image_name,
    read_stack,
    read_star,
    read_volume,
    write_mrc_stack,
    write_star,
    write_volume,
)
from vitreous.quality import image_correlations, other_hand
from vitreous.rotations import euler_to_matrix, matrix_to_euler
from vitreous.volumes import project_map

__all__ = ["FILES", "ConformationMaps", "InitialFolder", "read_initial", "write_initial"]

AVERAGES, PROJECTIONS = "initial_averages.mrcs", "initial_projections.mrcs"
DATA, RESTARTS = "initial_data.star", "initial_restarts.star"
CONFORMATION = re.compile(r"initial_conformation[0-9]+\.mrc")
FILES = (
    "initial.mrc",
    "initial_other_hand.mrc",
    "initial_variance.mrc",
    "initial.cif",
    "initial_conformation[0-9]*",
    "initial_averages.mrcs",
    "initial_projections.mrcs",
    "initial_data.star",
    "initial_restarts.star",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ConformationMaps:
    """Map of one conformation, its posterior variance where the method knows it, and how many averages show it."""

    mean: Volume
    variance: Volume | None
    averages: int


@dataclass(frozen=True, kw_only=True, eq=False)
class InitialFolder:
    """n averages of box L, R restarts."""

    conformations: tuple[ConformationMaps, ...]  # one, or as many as were asked for, the most populated first
    averages: np.ndarray  # (n, L, L)
    projections: np.ndarray  # (n, L, L) of the model, in the poses of the averages
    correlation: np.ndarray  # (n,) of the two
    rotations: np.ndarray  # (n, 3, 3)
    restarts: Table

    @property
    def score(self) -> str:
        """What restarts are ranked by, in words: "log posterior"."""
        return score_words(self.restarts)

    @property
    def scores(self) -> np.ndarray:
        """That number for every restart: (restarts,)."""
        return self.restarts.numbers(score_column(self.score))

    @property
    def mean(self) -> Volume:
        """Map of the first conformation."""
        return self.conformations[0].mean

    @property
    def variance(self) -> Volume | None:
        """Posterior variance of the first conformation."""
        return self.conformations[0].variance


def write_initial(
    folder: str | Path,
    result: InitialModelResult[Mixture],
    averages: ParticleSet,
    images: np.ndarray,
    ctf: np.ndarray | None = None,
) -> np.ndarray:
    """Write a result into a folder; returns the correlation (n,) of averages and projections of the model.

    ``ctf`` (n, L, L // 2 + 1), of averages that are not corrected for it, is applied to the projections.

    ``initial.mrc`` (posterior mean, per cubic Angstrom, of integral 1), ``initial_other_hand.mrc``,
    ``initial_averages.mrcs`` and ``initial_data.star`` (the averages and their poses, all columns of the input),
    ``initial_projections.mrcs`` (the model in these poses) and ``initial_restarts.star``; where the method knows them,
    ``initial_variance.mrc`` and ``initial.cif`` (pseudo-atoms). Projections are those of the mixture where there is
    one, and those of the map otherwise. Of several conformations, each has maps and pseudo-atoms of its own, named
    ``initial_conformation1.mrc`` and so on, and the averages have theirs in rlnClassNumber.
    """
    path = Path(folder)
    projections = apply_ctf(_projections(result, averages), ctf)
    correlation = image_correlations(images, projections)
    for stem, conformation in zip(_stems(len(result.conformations)), result.conformations, strict=True):
        write_volume(path / f"{stem}.mrc", conformation.mean)
        write_volume(path / f"{stem}_other_hand.mrc", other_hand(conformation.mean))
        if conformation.variance is not None:
            write_volume(path / f"{stem}_variance.mrc", conformation.variance)
        if conformation.mixture is not None:
            write_pseudo_atoms(path / f"{stem}.cif", conformation.mixture)
    write_mrc_stack(path / AVERAGES, images, averages.pixel_size_A)
    write_mrc_stack(path / PROJECTIONS, projections, averages.pixel_size_A)
    write_star(path / DATA, {"optics": complete_optics(averages), "particles": _posed(averages, result, correlation)})
    write_star(path / RESTARTS, {"": _restarts(result)})
    return correlation


def read_initial(folder: str | Path) -> InitialFolder:
    """Read what :func:`write_initial` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    stems = _stems(len([p for p in path.iterdir() if CONFORMATION.fullmatch(p.name)]) or 1)
    maps = [f"{stem}.mrc" for stem in stems]
    needed = (*maps, AVERAGES, PROJECTIONS, DATA, RESTARTS)
    missing = [name for name in needed if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished initial model")
    table = read_star(path / DATA)["particles"]
    angles = np.stack([table.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")], axis=1)
    labels = table.numbers("rlnClassNumber").astype(int) if len(stems) > 1 else np.ones(len(table), int)
    return InitialFolder(
        conformations=tuple(
            ConformationMaps(
                mean=read_volume(path / f"{stem}.mrc"),
                variance=_read_if_there(path / f"{stem}_variance.mrc"),
                averages=int((labels == number).sum()),
            )
            for number, stem in enumerate(stems, start=1)
        ),
        averages=read_stack(path / AVERAGES),
        projections=read_stack(path / PROJECTIONS),
        correlation=table.numbers("vtrCorrelation"),
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
        restarts=next(iter(read_star(path / RESTARTS).values())),
    )


def _read_if_there(path: Path) -> Volume | None:
    return read_volume(path) if path.is_file() else None


def _stems(conformations: int) -> list[str]:
    """What the files of the maps begin with."""
    if conformations == 1:
        return ["initial"]
    return [f"initial_conformation{number}" for number in range(1, conformations + 1)]


def _projections(result: InitialModelResult[Mixture], averages: ParticleSet) -> np.ndarray:
    """Every average's conformation in its pose: float32 (n, L, L)."""
    out = np.empty((len(averages), averages.box_px, averages.box_px), np.float32)
    for c, conformation in enumerate(result.conformations):
        rows = result.labels == c
        rotations, origins = result.rotations[rows], result.origins_A[rows]
        box, pixel = averages.box_px, averages.pixel_size_A
        if conformation.mixture is None:
            out[rows] = project_map(conformation.mean, rotations, origins, box, pixel)
        else:
            out[rows] = project(conformation.mixture, rotations, box, pixel, offsets_A=-origins)
    return out


def _labels(result: InitialModelResult[Mixture]) -> dict[str, np.ndarray]:
    """Columns for the conformations, where there are several."""
    if len(result.conformations) == 1:
        return {}
    probability = np.take_along_axis(result.label_probabilities, result.labels[:, None], axis=1)[:, 0]
    return {"rlnClassNumber": result.labels + 1, "vtrClassProbability": np.round(probability, 4)}


def _posed(averages: ParticleSet, result: InitialModelResult[Mixture], correlation: np.ndarray) -> Table:
    euler = matrix_to_euler(torch.from_numpy(np.ascontiguousarray(result.rotations))).numpy()
    return averages.table.without(["rlnOriginX", "rlnOriginY"]).with_columns(
        {
            "vtrSourceImage": averages.table.text("rlnImageName"),
            "rlnImageName": [image_name(i, AVERAGES) for i in range(len(averages))],
            "rlnAngleRot": np.round(euler[:, 0], 4),
            "rlnAngleTilt": np.round(euler[:, 1], 4),
            "rlnAnglePsi": np.round(euler[:, 2], 4),
            "rlnOriginXAngst": np.round(result.origins_A[:, 0], 4),
            "rlnOriginYAngst": np.round(result.origins_A[:, 1], 4),
            "vtrCorrelation": np.round(correlation, 4),
            **_labels(result),
        }
    )


def score_column(score: str) -> str:
    """The column of ``initial_restarts.star`` for a score: "log posterior" is in vtrLogPosterior."""
    return "vtr" + "".join(word.capitalize() for word in score.split())


def score_words(restarts: Table) -> str:
    """The score in words, from the column that none of the others is."""
    (column,) = set(restarts.columns) - {"vtrRestart", "vtrAgreeingFraction", "vtrOtherHand", "vtrRefined"}
    return re.sub(r"(?<!^)(?=[A-Z])", " ", column.removeprefix("vtr")).lower()


def _restarts(result: InitialModelResult[Mixture]) -> Table:
    return Table.from_arrays(
        {
            "vtrRestart": np.arange(1, len(result.scores) + 1),
            score_column(result.score): np.round(result.scores, 2),
            "vtrAgreeingFraction": [round(agreement.fraction, 4) for agreement in result.agreements],
            "vtrOtherHand": [int(agreement.other_hand) for agreement in result.agreements],
            "vtrRefined": (np.arange(len(result.scores)) == result.best).astype(int),
        }
    )
