"""The folder of ``run`` as a value: its stages, each the result of a job, and the one that it ends with."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.report.pipeline import ROUND, STAGES

if TYPE_CHECKING:
    from vitreous.face.result import Result

__all__ = ["WholeRun", "read_run"]

LAST = ("refine", "abinitio", "initial")  # what a run ends with: the first of these that it has


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeRun:
    """What ``run`` leaves: ``class2d``, ``abinitio``, ``refine`` and its like are the results of its stages.

    stages: those that have finished, in their order; a stage is read when it is asked for.
    """

    folder: Path
    stages: tuple[str, ...]

    def __getattr__(self, name: str) -> "Result[Any]":
        if name not in vars(self).get("stages", ()):
            raise AttributeError(f"this run has no stage {name!r}; it has {', '.join(vars(self).get('stages', ()))}")
        from vitreous.face.result import Result

        found = vars(self)[name] = Result.load(self.folder / name)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.stages})

    @property
    def last(self) -> "Result[Any]":
        """The refined map, or the model where nothing was refined."""
        stage: Result[Any] = getattr(self, next(name for name in LAST if name in self.stages))
        return stage

    @property
    def classes(self) -> "Result[Any]":
        """The class averages that were chosen from."""
        stage: Result[Any] = self.isac if "isac" in self.stages else self.class2d
        return stage


def read_run(folder: Path) -> WholeRun:
    """Of run."""
    done = [name for name in (*ROUND, *STAGES) if (m := read_manifest(folder / name)) and m.status == "finished"]
    return WholeRun(folder=folder, stages=tuple(done))
