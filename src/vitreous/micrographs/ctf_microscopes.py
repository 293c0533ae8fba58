"""The microscope of every micrograph: as given, or as a list of micrographs says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.micrographs.ctf_settings import Microscope
from vitreous.micrographs.listing import ListedMicrograph
from vitreous.particles import ParticleFileError, Table, read_star
from vitreous.particles.optics_groups import group_index

__all__ = ["MicroscopeGiven", "microscopes_of"]

COLUMNS = {
    "voltage_kV": "rlnVoltage",
    "cs_mm": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
}
UNSTATED = {"amplitude_contrast": Microscope.amplitude_contrast}


@dataclass(frozen=True, kw_only=True)
class MicroscopeGiven:
    """What the user says; it overrules lists. None: not said."""

    voltage_kV: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None


def microscopes_of(
    micrographs: Sequence[ListedMicrograph], lists: Iterable[Path], given: MicroscopeGiven
) -> tuple[Microscope, ...]:
    """One for each micrograph. Raises ValueError where neither the user nor a list says what is needed."""
    listed = {name: values for path in lists for name, values in _of_list(path).items()}
    found = []
    for micrograph in micrographs:
        known = listed.get(micrograph.name, {})
        values = {}
        for field, column in COLUMNS.items():
            value = getattr(given, field)
            value = known.get(field, UNSTATED.get(field)) if value is None else value
            if value is None:
                option = "--" + field.replace("_", "-")
                raise ParticleFileError(
                    f"{micrograph.name}: expected {field} from {option} or from the column {column} of a STAR "
                    "list, found neither"
                )
            values[field] = float(value)
        found.append(Microscope(**values))
    return tuple(found)


def _of_list(path: Path) -> dict[str, dict[str, float]]:
    """Name of a micrograph -> what its row or its optics group says."""
    blocks = read_star(path)
    table = next(t for t in blocks.values() if t.loop and "rlnMicrographName" in t)
    optics = blocks.get("optics")
    columns = {field: _column(table, optics, name) for field, name in COLUMNS.items()}
    return {
        name: {field: float(values[row]) for field, values in columns.items() if values is not None}
        for row, name in enumerate(table.text("rlnMicrographName").tolist())
    }


def _column(table: Table, optics: Table | None, name: str) -> np.ndarray | None:
    if name in table:
        return table.numbers(name)
    if optics is None or name not in optics:
        return None
    values: np.ndarray = optics.numbers(name)[group_index(table, optics)]
    return values
