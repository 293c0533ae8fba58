"""What a call returns, and what a folder is read back to: the value of the method, which saves and shows itself."""

from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Generic, TypeVar

from vitreous.face.load import Loaded, load_value
from vitreous.face.views import heading, maps_of, pictures
from vitreous.jobs.copied import copy_job
from vitreous.jobs.history import read_history
from vitreous.jobs.in_memory import Done, keep, session_folder
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.tasks.table import TASKS
from vitreous.particles import ParticleSet, Table, Volume, hold, read_particles, read_stack, read_star
from vitreous.pictures import Shown
from vitreous.require import nearest
from vitreous.words import folded

__all__ = ["Result", "load"]

R = TypeVar("R")
IN_FILES = ("ctf", "extract", "pick", "project")  # jobs whose methods leave what they find in files
_number = count(1)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Result(Generic[R]):
    """The result of a job. What the method returns is its ``value``, whose fields are attributes of the result, too.

    ``result.averages`` is ``result.value.averages``. ``save(folder)`` writes what the command writes; ``particles()``
    are the particles with what was found of them; ``show(n)`` makes pictures; ``table(name)`` and ``to_pandas(name)``
    are the tables of its files. Where a job takes the folder of another one, its function takes the result.
    """

    done: Done[R] | None = None
    loaded: Loaded | None = None

    @classmethod
    def load(cls, folder: str | Path) -> "Result[Any]":
        """The result in the folder of a finished job. Raises JobFolderError for what is none, and for damaged files."""
        return Result(loaded=load_value(Path(folder)))

    @property
    def task(self) -> str:
        """The job, by the name of its command."""
        return self.done.task.name if self.done is not None else self._loaded.task

    @cached_property
    def value(self) -> R:
        """What the method returns."""
        if self.done is None:
            return self._loaded.value
        if self.task in IN_FILES:
            return load_value(self.folder).value
        return _complete(self.done)

    @property
    def settings(self) -> Any:
        """Those that were used; a dict for a result that was loaded."""
        return self.done.prepared.settings if self.done is not None else self._loaded.settings

    @property
    def history(self) -> list[dict[str, Any]]:
        """What every step has said."""
        return [dict(info) for info in self.done.history] if self.done is not None else read_history(self.folder)

    @property
    def messages(self) -> tuple[str, ...]:
        """Notes and warnings, in sentences."""
        if self.done is None:
            manifest = read_manifest(self.folder)
            return () if manifest is None else tuple(manifest.messages)
        said = (*self.done.prepared.warnings, *getattr(self.value, "messages", ()))
        return tuple(dict.fromkeys(said))

    @cached_property
    def folder(self) -> Path:
        """The folder that it was loaded from; of one that was computed a temporary one, which goes when Python ends."""
        if self.done is None:
            return self._loaded.folder
        given = self.done.particles
        if given is not None:
            given.images.keep_beside(session_folder() / "any.star", None)
        path = session_folder() / f"{self.task}-result-{next(_number)}"
        keep(self.done, path, command=f"vitreous.{self.task}")
        return path

    @property
    def data_file(self) -> Path:
        """The table of particles, or of images, in the folder. TypeError for a job without one."""
        if self.task == "run":
            last: Result[Any] = getattr(self.value, "last")  # noqa: B009
            return last.data_file
        name = TASKS[self.task].particles
        if not name:
            having = ", ".join(task for task, entry in TASKS.items() if entry.particles)
            raise TypeError(f"the result of {self.task} has no particles; those of {having} have some")
        return self.folder / name

    @property
    def maps(self) -> dict[str, Volume]:
        """Maps by what they are, the most important one first."""
        return maps_of(self.value)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the folder that the command would have left, with its report; the path of the report.

        overwrite: remove the results of an earlier job there. Raises JobFolderError for a folder that holds something
        else, and ValueError for a result that was loaded: its folder is there already.
        """
        if self.done is None and self.folder.is_relative_to(session_folder()):
            return copy_job(self.folder, Path(folder), overwrite=overwrite)
        if self.done is None:
            raise ValueError(f"this result was loaded from {self.folder}, where its files are; copy that folder")
        return keep(self.done, folder, overwrite=overwrite, command=f"vitreous.{self.task}")

    def particles(self) -> ParticleSet:
        """The particles, or images, with the columns that the job has found. TypeError for a job without them."""
        found = read_particles(self.data_file)
        given = None if self.done is None else self.done.particles
        return hold(found, like=given, within=session_folder())

    def table(self, name: str | None = None) -> Table:
        """A table of its files by name (``run_model/model_classes``: file, block), or that of the particles.

        Raises ValueError, with the names that there are.
        """
        tables = self._tables
        chosen = self._first_table if name is None else name
        if chosen not in tables:
            raise ValueError(f"there is no table {chosen!r}{nearest(chosen, tables)}; there are {', '.join(tables)}")
        path, block = tables[chosen]
        return read_star(path)[block]

    def to_pandas(self, name: str | None = None) -> Any:
        """:meth:`table` as a pandas DataFrame. ImportError, with what to install, where there is no pandas."""
        return self.table(name).to_pandas()

    def show(self, n: int = 20) -> Shown:
        """At most n pictures, as the report has them; a notebook shows what is returned."""
        given = None if self.done is None else self.done.particles
        return pictures(self.task, self.value, n, given)

    def plot_frc(self) -> Any:
        """Correlation of the halves by resolution, as a Matplotlib figure. ImportError where there is none."""
        from vitreous.face.plots import frc_figure

        return frc_figure(self)

    def plot_convergence(self) -> Any:
        """What the steps have said, as a Matplotlib figure. ImportError where there is none."""
        from vitreous.face.plots import convergence_figure

        return convergence_figure(self)

    def to_arviz(self) -> Any:
        """Traces of a sampler as ArviZ' InferenceData. ImportError where there is none, TypeError without traces."""
        from vitreous.face.traces import inference_data

        return inference_data(self)

    def __repr__(self) -> str:
        has = getattr(self.value, "stages", vars(self.value)) if self.task == "run" else vars(self.value)
        names = ", ".join(name for name in has if not name.startswith("_"))
        lines = [f"{self.task}: {heading(self.task, self.value)}", *folded(f"has {names}", lines=2)]
        if self.messages:
            lines += folded(f"says {' '.join(self.messages)}", lines=2)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self.value
        if not hasattr(value, name):
            words = nearest(name, [*vars(value), *dir(Result)])
            raise AttributeError(f"the result of {self.task} has no {name!r}{words}")
        return getattr(value, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.value) if not name.startswith("_"))})

    @property
    def _loaded(self) -> Loaded:
        if self.loaded is None:
            raise ValueError("a result was computed or loaded; this one is neither")
        return self.loaded

    @cached_property
    def _tables(self) -> dict[str, tuple[Path, str]]:
        found = {}
        for path in sorted(self.folder.glob("**/*.star" if self.task == "run" else "*.star")):
            if path.name.startswith(("RELION_", "run_it")):
                continue
            blocks = {name: table for name, table in read_star(path).items() if table.loop and len(table)}
            main = [name for name in blocks if name != "optics"]
            for block in main:
                stem = self._name_of(path)
                found[stem if len(main) == 1 else f"{stem}/{block}"] = (path, block)
        return found

    def _name_of(self, path: Path) -> str:
        """Of a file in the folder, without its ending."""
        return path.relative_to(self.folder).with_suffix("").as_posix()

    @property
    def _first_table(self) -> str:
        if TASKS[self.task].particles or self.task == "run":
            return self._name_of(self.data_file)
        return next(iter(self._tables), "")


def load(folder: str | Path) -> Result[Any]:
    """The result in the folder of a finished job, whoever ran it: the command, ``run_X``, or ``result.save``.

    Raises JobFolderError for what is no such folder, and for files that are damaged or do not fit together.
    """
    return Result.load(folder)


def _complete(done: Done[Any]) -> Any:
    """The value of a job; with the images where the job has written them while it worked."""
    if done.task.name == "initial":
        return getattr(done.value, "model", done.value)  # of the methods from averages, which are in a table of theirs
    if done.task.name != "denoise":
        return done.value
    from vitreous.averages.denoise import DenoiseResult

    images = read_stack(done.scratch / "denoised.mrcs")
    return DenoiseResult(images=images, weight=(~done.value.bad).astype("float32"), model=done.value)
