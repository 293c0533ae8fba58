"""What a list of micrographs says about the particles in them: the CTF and the optics group."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitreous.micrographs.coordinates import Coordinates
from vitreous.particles import ParticleFileError, Table, read_star

__all__ = ["with_ctf_of_list"]

NAME = "rlnMicrographName"
OF_MICROGRAPH = (
    "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor",
    "rlnCtfMaxResolution", "rlnCtfFigureOfMerit", "rlnCtfAstigmatism",
)  # fmt: skip
OF_GROUP = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


def with_ctf_of_list(found: Coordinates, paths: Iterable[Path]) -> tuple[Coordinates, frozenset[str]]:
    """The particles with CTF columns and optics groups of their micrographs, and micrographs that the lists lack.

    Micrographs are the same where the names of their files are. Particles that have ``rlnDefocusU`` keep what they
    have: it may have been refined. Raises ParticleFileError for lists of different optics groups.
    """
    if "rlnDefocusU" in found.table:
        return found, frozenset()
    tables, optics = _lists(paths)
    if not tables:
        return found, frozenset()
    shared = [name for name in tables[0].names if all(name in table for table in tables)]
    text = {name: np.concatenate([table.text(name) for table in tables]) for name in shared}
    row_of = {Path(name).name: row for row, name in reversed(list(enumerate(text[NAME])))}
    names = found.table.text(NAME)
    rows = np.array([row_of.get(Path(name).name, -1) for name in names], dtype=np.int64)
    wanted = [*OF_MICROGRAPH, *(OF_GROUP if optics is None else ("rlnOpticsGroup",))]
    # A micrograph that is missing will have no boxes; until then its particles carry another one's columns.
    columns = {name: text[name][rows] for name in wanted if name in text}
    table = found.table.with_columns({name: values.tolist() for name, values in columns.items()})
    return replace(found, table=table, optics=optics or found.optics), frozenset(names[rows < 0].tolist())


def _lists(paths: Iterable[Path]) -> tuple[list[Table], Table | None]:
    tables, groups = [], list[Table]()
    for path in paths:
        blocks = read_star(path)
        tables += [table for name, table in blocks.items() if name != "optics" and table.loop and NAME in table][:1]
        if "optics" in blocks:
            groups.append(blocks["optics"])
    for other in groups[1:]:
        first = groups[0]
        if other.names != first.names or any((other.text(n) != first.text(n)).any() for n in first.names):
            raise ParticleFileError(
                f"{other.path} and {first.path} have different optics groups: extract from one of them at a time"
            )
    return tables, groups[0] if groups else None
