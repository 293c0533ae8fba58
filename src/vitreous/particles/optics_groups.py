"""Which optics group a particle belongs to, and optics tables for files that have none."""

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.table import Table

__all__ = ["group_index", "synthesise_optics"]

_PER_GROUP = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


def group_index(table: Table, optics: Table) -> np.ndarray:
    """Row of ``optics`` for every particle, int64 (n,), by ``rlnOpticsGroup``.

    A file with one optics group may leave the column out. Raises ParticleFileError for a missing column, an unknown
    group (with its line) and a group that occurs twice.
    """
    if len(optics) == 0:
        raise ParticleFileError(f"{table.path}: the optics table is empty; expected one row per optics group")
    if "rlnOpticsGroup" not in table and len(optics) == 1:
        return np.zeros(len(table), dtype=np.int64)
    known = optics.numbers("rlnOpticsGroup", "telling optics groups apart")
    asked = table.numbers("rlnOpticsGroup", "finding voltage and pixel size of each particle")
    order = np.argsort(known, kind="stable")
    if (np.diff(known[order]) == 0).any():
        raise ParticleFileError(f"{table.path}: an optics group occurs twice in the optics table: {known.tolist()}")
    place = np.minimum(np.searchsorted(known[order], asked), len(known) - 1)
    unknown = known[order][place] != asked
    if unknown.any():
        row = int(np.argmax(unknown))
        raise ParticleFileError(
            f"{table.where(row)}: unknown optics group {asked[row]:g}; the optics table has "
            f"{', '.join(f'{g:g}' for g in known)}"
        )
    return order[place]


def synthesise_optics(table: Table) -> tuple[Table, np.ndarray]:
    """An optics table (one row per combination of parameters) for a file of RELION 3.0 or older, and the group index.

    The pixel size is ``rlnImagePixelSize`` or ``rlnDetectorPixelSize`` (micrometres) over ``rlnMagnification``;
    what the file does not have is left out.
    """
    parameters = {name: table.numbers(name) for name in _PER_GROUP if name in table}
    pixel = _pixel_size(table)
    if pixel is not None:
        parameters["rlnImagePixelSize"] = pixel
    rows = np.stack(list(parameters.values()), axis=1) if parameters else np.zeros((len(table), 1))
    if (rows == rows[0]).all():
        first, group = np.array([0]), np.zeros(len(rows), dtype=np.int64)
    else:
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    numbers = np.arange(1, len(first) + 1)
    columns: dict[str, np.ndarray | list[str]] = {
        "rlnOpticsGroupName": [f"opticsGroup{i}" for i in numbers],
        "rlnOpticsGroup": numbers,
    }
    columns.update({name: values[first] for name, values in parameters.items()})
    return Table.from_arrays(columns), group.reshape(-1).astype(np.int64)


def _pixel_size(table: Table) -> np.ndarray | None:
    if "rlnImagePixelSize" in table:
        return table.numbers("rlnImagePixelSize")
    if "rlnDetectorPixelSize" not in table or "rlnMagnification" not in table:
        return None
    magnification = table.numbers("rlnMagnification")
    usable = np.isfinite(magnification) & (magnification > 0)
    if not usable.all():
        row = int(np.argmin(usable))
        raise ParticleFileError(f"{table.where(row)}: rlnMagnification is {magnification[row]:g}; expected more than 0")
    # RELION 3.0 writes six decimals of a micrometre figure; more digits than these are rounding noise.
    return np.round(table.numbers("rlnDetectorPixelSize") * 1e4 / magnification, 6)
