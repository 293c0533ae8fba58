"""``class_selection.star``: which classes a selection has kept, and why the others went."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.averages.class_choice import JudgedClasses
from vitreous.particles import Table, read_star, write_star

__all__ = ["SELECTION", "Selection", "read_selection", "write_selection"]

SELECTION = "class_selection.star"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Of K classes, (K,) each: reason and words are empty where a class was kept; signal: nats in a particle."""

    kept: np.ndarray
    reason: tuple[str, ...]
    words: tuple[str, ...]
    population: np.ndarray
    signal: np.ndarray

    def of(self, reason: str) -> list[int]:
        """Numbers of the classes, from 1, that went for a reason first of all."""
        return [k + 1 for k, given in enumerate(self.reason) if given == reason]


def write_selection(folder: Path, judged: JudgedClasses, population: np.ndarray, kept: np.ndarray) -> None:
    """Write figures and verdicts of K classes; kept: (K,) bool, after all conditions that were given."""
    figures, said = judged.figures, judged.verdicts
    other = np.array(["other condition" if r == "" and not k else r for r, k in zip(said.reason, kept, strict=True)])
    columns = {
        "rlnClassNumber": np.arange(1, len(kept) + 1),
        "vtrSelected": kept.astype(int),
        "vtrReason": np.where(other == "", "kept", other),
        "vtrReasonText": np.array([words or "kept" for words in said.words]),
        "vtrPopulation": population,
        "vtrSignal": _finite(figures.signal),
        "vtrSignalError": _finite(figures.signal_error),
        "vtrDetail": _finite(figures.detail),
        "vtrUnexplained": _finite(figures.unexplained),
        "vtrScore": _finite(figures.score),
        "vtrNoiseScore": figures.noise_score,
        "vtrCentreXAngst": figures.centre_A[:, 0],
        "vtrCentreYAngst": figures.centre_A[:, 1],
        "vtrRimPower": figures.rim,
    }
    write_star(folder / SELECTION, {"classes": Table.from_arrays(columns)})


def read_selection(folder: str | Path) -> Selection | None:
    """The selection in a folder, or None."""
    path = Path(folder) / SELECTION
    if not path.is_file():
        return None
    table = read_star(path)["classes"]

    def words(name: str) -> tuple[str, ...]:
        return tuple("" if text == "kept" else str(text) for text in table.text(name))

    return Selection(
        kept=table.numbers("vtrSelected") > 0,
        reason=words("vtrReason"),
        words=words("vtrReasonText"),
        population=table.numbers("vtrPopulation").astype(int),
        signal=table.numbers("vtrSignal"),
    )


def _finite(values: np.ndarray) -> np.ndarray:
    return np.nan_to_num(values, nan=0.0)
