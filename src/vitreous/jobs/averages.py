"""Class averages wherever they are named: the folder of a job, a table of classes, a STAR file of images, a stack."""

from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.optics import ctf_2d
from vitreous.particles import ParticleSet, StarFile, Table, read_particles, read_star
from vitreous.particles.particle_set import assemble

__all__ = ["ctf_of_averages", "find_averages", "read_averages", "refuse_averages", "refuse_particles"]

DECONVOLVED = "deconvolved.star"  # of a deconvolve folder
CLASSES = (  # of a class2d or isac folder: the selection, where there is one, or all
    "class_averages.star",
    "run_model.star",
    "isac_classes.star",
)
FEW, MOST = 200, 1000  # images: so many with micrographs, or of any kind, are no averages
REFERENCE = "rlnReferenceImage"  # names the average in a table of classes


@overload
def find_averages(path: ParticleSet) -> ParticleSet: ...
@overload
def find_averages(path: str | Path) -> Path: ...
def find_averages(path: str | Path | ParticleSet) -> Path | ParticleSet:
    """The file that names the averages: ``path`` itself, or what stands for it in the folder of a job.

    In the folder of a 2D classification these are its deconvolved averages, where there are some, the selected classes,
    or all. Raises JobFolderError, which says what to do, for any other folder.
    """
    if isinstance(path, ParticleSet) or not Path(path).is_dir():
        return path if isinstance(path, ParticleSet) else Path(path)
    path = Path(path)
    found = next((path / name for name in (DECONVOLVED, *CLASSES) if (path / name).is_file()), None)
    if found is not None:
        return found
    raise JobFolderError(
        f"{path} has no {DECONVOLVED}: give the folder of a finished `vitreous deconvolve`, `vitreous class2d` or "
        "`vitreous isac`, a .star file or a stack of averages"
    )


def read_averages(
    path: Path | ParticleSet, *, project: str | Path | None = None, pixel_size_A: float | None = None
) -> tuple[ParticleSet, np.ndarray, list[str]]:
    """(averages without those of one value everywhere, their pixels (n, L, L), notes on what was left out).

    ``path``: a stack, a STAR file of images, or one with a table of classes (``rlnReferenceImage``), such as the
    ``class_averages.star`` of a selection and the ``run_model.star`` of a 2D classification, RELION's or ours.

    Raises ValueError where none is left, and what :func:`vitreous.particles.read_particles` does.
    """
    table = None if isinstance(path, ParticleSet) else _table_of_classes(path)
    if isinstance(path, ParticleSet) or table is None:
        found = read_particles(path, project=project, pixel_size_A=pixel_size_A)
    else:
        found = _named_by(table, path, project, pixel_size_A)
    images = found.read(slice(None))
    flat = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if flat.all():
        raise ValueError(
            f"{found.path}: each of the {len(found)} averages is zero everywhere, or has another single value; there "
            "is nothing to start from."
        )
    if not flat.any():
        return found, images, []
    numbers = ", ".join(str(i + 1) for i in np.flatnonzero(flat))
    return found.subset(~flat), images[~flat], [f"empty (one value everywhere) and left out: average {numbers}"]


def refuse_particles(averages: ParticleSet, *, uncorrected: bool = False) -> tuple[str, ...]:
    """ValueError for particles, where class averages are expected: averages are few, of no micrograph, without defocus.

    ``uncorrected``: averages that still have their CTF are expected, which have a defocus. Few images that may be
    either go on; what is returned says so.
    """
    n, marks = len(averages), _marks_of_particles(averages, uncorrected)
    if n < FEW or (not marks and n < MOST):
        return (f"the images are {marks}: are they particles? Class averages are expected here",) if marks else ()
    why = marks or f"and class averages are fewer than {MOST:,}"
    raise ValueError(
        f"{averages.path}: {n:,} images, {why}: these are particles, and a model from class averages is "
        "wanted. Classify them (`vitreous class2d`) and give the folder, or make the model from the particles: "
        "`vitreous initial --method em`, which is `vitreous abinitio`"
    )


def _marks_of_particles(averages: ParticleSet, uncorrected: bool) -> str:
    if "rlnMicrographName" in averages.table:
        return "each of a micrograph"
    return "each with a defocus" if "rlnDefocusU" in averages.table and not uncorrected else ""


def refuse_averages(path: Path | ParticleSet) -> None:
    """ValueError for class averages, where particles are expected: a table of them, or a folder of deconvolved ones."""
    if isinstance(path, ParticleSet):
        return
    table = _table_of_classes(path)
    if table is None and not (path / DECONVOLVED).is_file():
        return
    what = "the folder of deconvolved averages" if table is None else f"a table of {len(table)} class averages"
    raise ValueError(
        f"{path} is {what}, and particles are expected. Make a model from averages by `vitreous initial` (with its own "
        "methods, gmm or gmm-gaussian), or give the particles that were classified"
    )


def ctf_of_averages(averages: ParticleSet) -> np.ndarray:
    """The CTF that every average still has, from its columns: float32 (n, L, L // 2 + 1), in the rfft layout.

    Raises ValueError, with the columns that are missing or where a value is not a number.
    """
    if averages.missing_ctf_columns:
        raise ValueError(
            f"{averages.path}: averages that are not corrected for the CTF need their optics and defocus; "
            f"no column {', '.join(averages.missing_ctf_columns)}. Give a .star file that names the averages and has "
            "these columns, or, for averages that are corrected, leave --ctf-uncorrected out"
        )
    parameters = np.stack(list(vars(averages.ctf).values()))
    bad = ~np.isfinite(parameters).all(axis=0)
    if bad.any():
        where = averages.table.where(int(bad.argmax()))
        raise ValueError(f"{where}: the optics or defocus of this average is not a number; correct it, or leave it out")
    return ctf_2d(averages.ctf, averages.box_px, averages.pixel_size_A).numpy()


def _table_of_classes(path: Path) -> Table | None:
    """The first block of a STAR file with averages of classes; None in a file with images, or of another kind."""
    if path.suffix.lower() != ".star" or not path.is_file():
        return None
    blocks: StarFile = read_star(path)
    if any("rlnImageName" in table for table in blocks.values()):
        return None
    return next((table for table in blocks.values() if table.loop and REFERENCE in table), None)


def _named_by(table: Table, path: Path, project: str | Path | None, pixel_size_A: float | None) -> ParticleSet:
    """A table of classes as particles; box and pixel size from the header of the first stack."""
    images = table.with_columns({"rlnImageName": table.text(REFERENCE), "rlnOpticsGroup": np.ones(len(table), int)})
    optics: dict[str, list[Any]] = {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1]}
    found = assemble(
        path=path,
        project=None if project is None else Path(project),
        table=images.without([REFERENCE]),
        optics=Table.from_arrays(optics),
        optics_group=np.zeros(len(table), np.int64),
        blocks={},
        layout=("optics", "particles"),
        block="particles",
    )
    stack = found.images.first_found()
    pixel = stack.header.pixel_size_A if pixel_size_A is None else pixel_size_A
    known: dict[str, list[Any]] = {"rlnImageSize": [stack.box_px], "rlnImageDimensionality": [2]}
    if pixel > 0:
        known["rlnImagePixelSize"] = [pixel]
    return replace(found, optics=found.optics.with_columns(known))
