"""The result files of ``class3d``, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.particles import (
    ParticleSet,
    Table,
    Volume,
    in_relion_form,
    read_star,
    read_volume,
    write_star,
    write_volume,
)
from vitreous.structures.class3d import Class3DResult, ClassMap

__all__ = ["CLASS3D_FILES", "DATA", "Class3DFolder", "ClassFiles", "class_star", "read_class3d", "write_class3d"]

DATA, EXCLUDED, CLASSES, STARTS = "run_data.star", "run_excluded.star", "class3d_classes.star", "class3d_starts.star"
CLASS3D_FILES = (
    DATA,
    EXCLUDED,
    CLASSES,
    STARTS,
    "run_class[0-9][0-9][0-9].mrc",
    "run_class[0-9][0-9][0-9]_half[12]_unfil.mrc",
    "run_class[0-9][0-9][0-9]_difference.mrc",
    "run_class[0-9][0-9][0-9]_fsc.star",
    "class[0-9]*.star",
)
FSC = ("rlnFourierShellCorrelationCorrected", "rlnFourierShellCorrelationUnmaskedMaps")
FREQUENCY = "rlnResolution"


def class_star(number: int) -> str:
    """Name of the file with the particles of a class, from 1."""
    return f"class{number}.star"


def _stem(number: int) -> str:
    return f"run_class{number:03d}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassFiles:
    """A class as its files have it: frequency_per_A and fsc, in the sphere, are curves."""

    map: Volume
    difference: Volume
    frequency_per_A: np.ndarray
    fsc: np.ndarray
    fsc_unmasked: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Class3DFolder:
    """classes and starts: their maps, and tables with a row for each; probability: (n,) of the class of a particle."""

    classes: tuple[ClassFiles, ...]
    table: Table
    starts: Table
    number: np.ndarray  # (n,) from 1
    probability: np.ndarray
    common: tuple[np.ndarray, ...]  # of every start, (K, K) particles by its classes and those of the result

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """The maps of the classes."""
        return tuple(one.map for one in self.classes)


def write_class3d(folder: str | Path, result: Class3DResult, particles: ParticleSet) -> None:
    """Write a result into a folder.

    ``run_data.star`` (all columns of the input, poses, class in rlnClassNumber, its probability in
    rlnMaxValueProbDistribution, those of all classes in vtrClassProbability1 and so on, nats above the mean map in
    rlnLogLikeliContribution, half in rlnRandomSubset), ``class1.star`` and so on with the particles of a class,
    ``run_class001.mrc`` with half maps, difference and FSC, ``class3d_classes.star``, ``class3d_starts.star``.
    Particles that had no part are in ``run_excluded.star``, as the input has them.
    """
    path = Path(folder)
    for number, one in enumerate(result.classes, start=1):
        _write_class(path, number, one)
    columns = {name: np.round(values, 4) for name, values in result.poses.columns().items()}
    for k in range(len(result.classes)):
        columns[f"vtrClassProbability{k + 1}"] = np.round(result.posterior[:, k], 4)
    whole = in_relion_form(
        particles,
        **columns,
        rlnClassNumber=result.poses.volume + 1,
        rlnMaxValueProbDistribution=np.round(result.posterior.max(1), 5),
        rlnLogLikeliContribution=np.round(result.gain, 3),
        rlnRandomSubset=result.half + 1,
    )
    whole.subset(np.flatnonzero(result.half >= 0)).write(path / DATA)
    for number in range(1, len(result.classes) + 1):
        members = np.flatnonzero(result.poses.volume == number - 1)
        if len(members):
            whole.subset(members).write(path / class_star(number))
    if (result.half < 0).any():
        particles.subset(np.flatnonzero(result.half < 0)).write(path / EXCLUDED)
    write_star(path / CLASSES, {"": _class_table(result)})
    write_star(path / STARTS, {"": _start_table(result)})


def _write_class(path: Path, number: int, one: ClassMap) -> None:
    stem = _stem(number)
    write_volume(path / f"{stem}.mrc", one.full)
    for half, volume in enumerate(one.halves, start=1):
        write_volume(path / f"{stem}_half{half}_unfil.mrc", volume)
    write_volume(path / f"{stem}_difference.mrc", one.difference)
    curves = {
        FREQUENCY: np.round(one.in_sphere.frequency_per_A, 6),
        FSC[0]: np.round(one.in_sphere.corrected, 5),
        FSC[1]: np.round(one.in_sphere.unmasked, 5),
    }
    write_star(path / f"{stem}_fsc.star", {"fsc": Table.from_arrays(curves)})


def _class_table(result: Class3DResult) -> Table:
    k = len(result.classes)
    used = result.half >= 0
    return Table.from_arrays(
        {
            "rlnReferenceImage": [f"{_stem(number)}.mrc" for number in range(1, k + 1)],
            "rlnClassNumber": np.arange(1, k + 1),
            "vtrParticles": [int((result.poses.volume == j).sum()) for j in range(k)],
            "rlnClassDistribution": np.round(result.posterior[used].mean(0), 5),
            "rlnEstimatedResolution": [_or_999(one.resolution_A) for one in result.classes],
            "vtrDifferencePeak": [round(one.peak, 2) for one in result.classes],
        }
    )


def _or_999(value: float) -> float:
    """999 as RELION has it where there is no resolution."""
    return round(value, 2) if np.isfinite(value) else 999.0


def _start_table(result: Class3DResult) -> Table:
    starts = result.starts
    return Table.from_arrays(
        {
            "vtrStart": np.arange(1, len(starts) + 1),
            "vtrHeldOutEvidence": [round(start.evidence, 4) for start in starts],
            "vtrEvidenceSigmas": [round(start.sigmas, 2) for start in starts],
            "vtrHalvesAgreement": [round(start.halves_agree, 4) for start in starts],
            "vtrResultAgreement": [round(start.best_agrees, 4) for start in starts],
            "vtrBest": [int(start.best) for start in starts],
            "vtrCommon": [",".join(str(v) for v in start.common.ravel()) for start in starts],
        }
    )


def read_class3d(folder: str | Path) -> Class3DFolder:
    """Read what :func:`write_class3d` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    missing = [name for name in (DATA, CLASSES, STARTS) if not (path / name).is_file()]
    if missing:
        raise JobFolderError(f"{path} has no {missing[0]}: it is not the folder of a finished classification in 3D")
    table = next(iter(read_star(path / CLASSES).values()))
    starts = next(iter(read_star(path / STARTS).values()))
    data, k = read_star(path / DATA)["particles"], len(table)
    return Class3DFolder(
        classes=tuple(_read_class(path, number) for number in range(1, k + 1)),
        table=table,
        starts=starts,
        number=data.numbers("rlnClassNumber").astype(int),
        probability=data.numbers("rlnMaxValueProbDistribution"),
        common=tuple(np.array(str(row).split(","), np.int64).reshape(k, k) for row in starts["vtrCommon"]),
    )


def _read_class(path: Path, number: int) -> ClassFiles:
    stem = _stem(number)
    curve = read_star(path / f"{stem}_fsc.star")["fsc"]
    return ClassFiles(
        map=read_volume(path / f"{stem}.mrc"),
        difference=read_volume(path / f"{stem}_difference.mrc"),
        frequency_per_A=curve.numbers(FREQUENCY),
        fsc=curve.numbers(FSC[0]),
        fsc_unmasked=curve.numbers(FSC[1]),
    )
