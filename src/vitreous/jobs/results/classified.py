"""The folder of any 2D classification as a selection needs it: ours, ISAC's, an alignment, RELION's or cryoSPARC's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import Manifest, read_manifest
from vitreous.jobs.results.class2d import CLASSIFICATIONS, NO_RESOLUTION_A, open_class2d_folder
from vitreous.jobs.results.isac import open_isac_folder
from vitreous.jobs.results.stability import classes_in, passthrough_in
from vitreous.matching import class_numbers
from vitreous.particles import ParticleSet, StarFile, Table, image_name, read_particles, read_star

__all__ = ["ClassifiedFolder", "open_classified"]

ALIGNED, AVERAGE = "aligned.star", "average.mrcs"  # of an align job: one class


@dataclass(frozen=True, kw_only=True)
class ClassifiedFolder:
    """K classes, n particles.

    data: the particle file; label: (n,) class numbers from 1, 0 for none; table: a row for every class that names its
    average, None where the folder has none that we made; manifest: None for folders of other programs;
    passthrough: files that were found or given with those of cryoSPARC.
    """

    path: Path
    data: Path
    label: np.ndarray
    count: int
    table: Table | None
    manifest: Manifest | None
    passthrough: tuple[Path, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether a job of this program made the folder."""
        return self.manifest is not None or self.table is not None

    @property
    def population(self) -> np.ndarray:
        """(K,)."""
        return np.bincount(self.label, minlength=self.count + 1)[1 : self.count + 1]

    @property
    def resolution_A(self) -> np.ndarray:
        """(K,), inf where there is none."""
        if self.table is None or "rlnEstimatedResolution" not in self.table:
            return np.full(self.count, np.inf)
        column = self.table.numbers("rlnEstimatedResolution")
        return np.where(column >= NO_RESOLUTION_A, np.inf, column)

    @property
    def found_signal(self) -> bool:
        """What the classification says of itself; True where it says nothing."""
        return self.manifest is None or self.manifest.summary.get("found_signal") is not False

    def star(self) -> StarFile | None:
        """The particle file as it is, with all its blocks; None for one that is no STAR file."""
        return read_star(self.data) if self.data.suffix.lower() == ".star" else None

    def particles(self, project: Path | None) -> ParticleSet:
        """The particles with their images."""
        return read_particles(self.data, project=project, passthrough=self.passthrough, alignment="2D")


def open_classified(
    folder: str | Path, *, project: Path | None = None, passthrough: tuple[Path, ...] = ()
) -> ClassifiedFolder:
    """Read the classes of a folder, or of a particle file.

    Raises
    ------
    JobFolderError
        For a folder that is not there, or is not that of a finished 2D classification.
    """
    path = Path(folder)
    if not path.exists():
        raise JobFolderError(f"{path} does not exist; expected the folder of a finished 2D classification")
    manifest = read_manifest(path) if path.is_dir() else None
    kinds = (*CLASSIFICATIONS, "isac", "align", "msa")
    if manifest is not None and manifest.task not in kinds:
        raise JobFolderError(f"{path} is the folder of a {manifest.task} job; expected one of {', '.join(kinds)}")
    if (path / "isac_classes.star").is_file():
        accepted = open_isac_folder(path)
        return _read(path, path / "isac_data.star", manifest, read_star(path / "isac_classes.star")["classes"],
                     len(accepted.population))  # fmt: skip
    if (path / "run_model.star").is_file() or (manifest is not None and manifest.task in CLASSIFICATIONS):
        found = open_class2d_folder(path)
        return _read(path, path / "run_data.star", manifest, found.classes, len(found.averages))
    if (path / ALIGNED).is_file():
        return _read(path, path / ALIGNED, manifest, _one_average(manifest), 1)
    data = classes_in(path)
    passthrough = passthrough or passthrough_in(path, data)
    number = read_particles(data, project=project, passthrough=passthrough, alignment="2D").table
    if "rlnClassNumber" not in number:
        raise JobFolderError(f"{data}: no particle has a class (rlnClassNumber); expected those of a 2D classification")
    label = class_numbers(number, data)
    return ClassifiedFolder(
        path=path,
        data=data,
        label=label,
        count=int(label.max(initial=0)),
        table=None,
        manifest=manifest,
        passthrough=passthrough,
    )


def _one_average(manifest: Manifest | None) -> Table:
    """The row of the average of an ``align`` job."""
    found = None if manifest is None else manifest.summary.get("resolution_A")
    return Table.from_arrays(
        {
            "rlnReferenceImage": [image_name(0, AVERAGE)],
            "rlnClassNumber": [1],
            "rlnEstimatedResolution": [NO_RESOLUTION_A if found is None else float(found)],
        }
    )


def _read(path: Path, data: Path, manifest: Manifest | None, table: Table, count: int) -> ClassifiedFolder:
    rows = next(t for t in read_star(data).values() if "rlnImageName" in t)
    label = class_numbers(rows, data)
    return ClassifiedFolder(path=path, data=data, label=label, count=count, table=table, manifest=manifest)
