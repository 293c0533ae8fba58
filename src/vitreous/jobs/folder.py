"""A run is a folder: settings, log, checkpoints and results, with one owner at a time."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from vitreous.iterate import Interrupted
from vitreous.jobs.checkpoints import load_newest, save_checkpoint
from vitreous.jobs.history import append_history, rewind_history
from vitreous.jobs.lock import holder, locked
from vitreous.jobs.manifest import Manifest, differing_settings, now, read_manifest, write_manifest
from vitreous.version import __version__

__all__ = ["Job", "JobFinished", "JobFolderError", "Status", "clear_job", "job_status", "open_job", "require_kind"]

S = TypeVar("S")
Status = Literal["absent", "finished", "failed", "aborted", "interrupted", "running", "other"]

MARKERS = {
    "finished": "RELION_JOB_EXIT_SUCCESS",
    "failed": "RELION_JOB_EXIT_FAILURE",
    "aborted": "RELION_JOB_EXIT_ABORTED",
}
ABORT_NOW = "RELION_JOB_ABORT_NOW"
STORE = ".prepared"  # folder for what does not fit into the memory, while a job works
EVERY_JOB = ("job.json", "history.jsonl", "run.log", "report.html", f"checkpoints/it{'[0-9]' * 6}.npz")  # of every job
logger = logging.getLogger("vitreous")


class JobFolderError(ValueError):
    """The folder cannot be used in the way that was asked for."""


class JobFinished(Exception):
    """The same job has already finished here: a piece of news rather than an error."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """An open job folder. Made by :func:`open_job` only."""

    path: Path
    resumed: bool

    @property
    def manifest(self) -> Manifest:
        """What ``job.json`` says now."""
        manifest = read_manifest(self.path)
        if manifest is None:
            raise JobFolderError(f"{self.path}/job.json has disappeared while the job was running")
        return manifest

    def log(self, text: str) -> None:
        """A line in ``run.log``."""
        logger.info(text)

    def describe(self, *, summary: Mapping[str, Any] | None = None, messages: tuple[str, ...] = ()) -> None:
        """Add figures about data and result, and sentences for the user, to ``job.json``."""
        old = self.manifest
        fresh = tuple(m for m in messages if m not in old.messages)
        write_manifest(
            self.path, replace(old, summary={**old.summary, **(summary or {})}, messages=old.messages + fresh)
        )

    def record(self, info: Mapping[str, Any]) -> None:
        """One iteration's figures into ``history.jsonl``: the driver's ``on_step``."""
        append_history(self.path, info)

    def save(self, state: Any) -> None:
        """A checkpoint: the driver's ``save``."""
        save_checkpoint(self.path, state)

    def restore(self, cls: type[S]) -> S | None:
        """The newest usable state of an earlier run, with the history rewound to it; None in a new folder."""
        state = load_newest(self.path, cls, say=logger.warning) if self.resumed else None
        rewind_history(self.path, -1 if state is None else state.iteration)  # type: ignore[attr-defined]
        return state

    def abort_requested(self) -> bool:
        """Whether ``RELION_JOB_ABORT_NOW`` has appeared: the driver's ``interrupted``."""
        return (self.path / ABORT_NOW).exists()


def job_status(folder: str | Path) -> Status:
    """What a folder is, in a word.

    "absent" (or without traces of a job), "running" (its process lives), "interrupted" (killed), "finished", "failed",
    "aborted", or "other" (results of something else).
    """
    path = Path(folder)
    return "running" if holder(path) else _recorded_status(path)


def require_kind(folder: str | Path, task: str, *others: str) -> None:
    """JobFolderError for a folder that is not there or is that of another kind of job; one without records passes.

    others: kinds that pass as well.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise JobFolderError(f"{path} {what}; expected the folder of a finished `vitreous {task}`")
    manifest = read_manifest(path)
    if manifest is not None and manifest.task not in (task, *others):
        raise JobFolderError(f"{path} is the folder of a {manifest.task} job; expected that of a `vitreous {task}`")


def clear_job(folder: str | Path) -> None:
    """Remove what a job has written into a folder; foreign files, and the folder itself, stay.

    Raises FolderInUseError when a living process works in it. A folder that is not there is fine.
    """
    path = Path(folder)
    if path.is_dir():
        with locked(path):
            _remove(_own_files(path, read_manifest(path)))
            _remove(path / name for name in (*MARKERS.values(), ABORT_NOW))


@contextmanager
def open_job(
    folder: str | Path, manifest: Manifest, *, command: str, resume: bool = False, overwrite: bool = False
) -> Iterator[Job]:
    """Open a folder for a job and close it with the right marker, whatever happens inside.

    A new job gets the folder (made when absent; foreign files in it are left alone). ``resume`` continues one that
    was killed, aborted or has failed, or is to do more iterations than it was asked for, and starts one where there is
    none; ``overwrite`` removes our earlier results.
    Inside the block everything that is logged to "vitreous" also goes to ``run.log``. At the end ``job.json`` has the
    status and the folder one of RELION's ``RELION_JOB_EXIT_SUCCESS``, ``_FAILURE``, ``_ABORTED``.

    Raises
    ------
    JobFinished
        When the same job (task, settings, seed, inputs) has already finished here.
    JobFolderError
        When the folder holds something else, or an unfinished job and neither flag is given.
    FolderInUseError
        When a living process works in it.
    """
    path = Path(folder)
    if path.is_file():
        raise JobFolderError(f"{path} is a file; a job needs a folder")
    path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        resumed = _prepare(path, manifest, resume=resume, overwrite=overwrite)
        earlier = _with_more_iterations(read_manifest(path), manifest) if resumed else None
        write_manifest(path, (earlier or manifest).started(command))
        _append(path / "note.txt", f" ++++ {now()}\n{command}\n\n")
        with _logging_to(path / "run.log"), _marked(path):
            job = Job(path=path, resumed=resumed)
            before = "" if earlier is None else earlier.versions.get("vitreous", "")
            if before not in ("", __version__):
                text = f"begun by version {before} and continued by {__version__}: may end otherwise than either alone"
                logger.warning(text)
                job.describe(messages=(text,))
            yield job


def _prepare(path: Path, manifest: Manifest, *, resume: bool, overwrite: bool) -> bool:
    """Refuse or clear the folder; True when an earlier run is continued."""
    earlier = read_manifest(path)
    if _foreign_files(path, earlier, manifest):
        raise JobFolderError(f"{path} holds results that are not from this program; choose another folder")
    if earlier is not None and earlier.task == manifest.task:
        _remove(_left_by_a_killed_writer(path, manifest))  # also where the job has finished: its report comes after it
    if earlier is not None and overwrite:
        _keep_inputs(path, manifest)
        _remove({*_own_files(path, earlier), *(_own_files(path, manifest) if earlier.task == manifest.task else ())})
    elif earlier is not None and _another_job(earlier, manifest) and _nothing_done(path, earlier):
        _remove(_own_files(path, None))
        earlier = None
    elif earlier is not None:
        _refuse_unless_resumable(path, earlier, manifest, resume=resume)
    _remove(path / name for name in (*MARKERS.values(), ABORT_NOW))
    _remove(_left_by_a_killed_writer(path, manifest))
    return earlier is not None and not overwrite


def _another_job(earlier: Manifest, manifest: Manifest) -> bool:
    return bool(differing_settings(_identity(earlier), _identity(manifest)))


def _nothing_done(path: Path, earlier: Manifest) -> bool:
    """Whether a job ended before it had anything to go on from: then another one may begin in its folder."""
    lasting = [file for file in _matching(path, (*EVERY_JOB[-1:], *earlier.files)) if file.suffix != ".log"]
    parts = any(path.glob("*/job.json"))  # of a job that consists of others
    return _recorded_status(path) != "finished" and not lasting and not parts


def _keep_inputs(path: Path, manifest: Manifest) -> None:
    """Refuse to clear a folder that the input lies in: it would be removed with the results of the earlier job."""
    for name in manifest.inputs:
        if Path(name).resolve().parent == path.resolve():
            raise JobFolderError(
                f"{name} lies in {path}, whose files --overwrite would remove; choose another folder for the results"
            )


def _refuse_unless_resumable(path: Path, earlier: Manifest, manifest: Manifest, *, resume: bool) -> None:
    status = _recorded_status(path)
    finished = earlier
    if earlier.task != manifest.task:
        raise JobFolderError(
            f"{path} is the folder of a {earlier.task} job ({status}); choose another one for {manifest.task}, or "
            "remove that job with --overwrite"
        )
    if resume:
        earlier = _with_more_iterations(earlier, manifest) or earlier
    different = differing_settings(_identity(earlier), _identity(manifest))
    if different:
        raise JobFolderError(
            f"{path} holds a job with other settings ({different}); give the same ones, choose another folder, "
            "or start again with --overwrite"
        )
    if changed := _changed_content(earlier, manifest):
        raise JobFolderError(
            f"{path} holds a job on other data: {changed} {'have' if ',' in changed else 'has'} changed since it "
            "began; choose another folder, or start again with --overwrite"
        )
    if status == "finished" and earlier is finished:
        raise JobFinished(f"{path} has finished already on {earlier.runs[-1].ended}; --overwrite would run it again")
    if not resume:
        raise JobFolderError(
            f"{path} holds a job that was {status}: --resume continues it, --overwrite starts it again"
        )


def _with_more_iterations(earlier: Manifest | None, manifest: Manifest) -> Manifest | None:
    """The earlier job as one that goes on for longer, where more iterations are asked for; else as it is."""
    if earlier is None:
        return None
    before, after = earlier.settings.get("iterations"), manifest.settings.get("iterations")
    if not (isinstance(before, int) and isinstance(after, int) and after > before):
        return earlier
    return replace(earlier, settings={**earlier.settings, "iterations": after})


def _changed_content(earlier: Manifest, manifest: Manifest) -> str:
    """The inputs whose bytes, or whose images, are no longer those that the job began with."""
    both = set(earlier.content) & set(manifest.content)
    changed = [name for name in manifest.content if name in both and earlier.content[name] != manifest.content[name]]
    return ", ".join("what the images show" if name == "images" else name for name in changed)


def _identity(manifest: Manifest) -> dict[str, Any]:
    """What makes two jobs the same job."""
    inputs = ", ".join(manifest.inputs)
    return {**manifest.settings, "task": manifest.task, "seed": manifest.seed, "input": inputs}


def _recorded_status(path: Path) -> Status:
    """The status when no other process works in the folder."""
    manifest = read_manifest(path)
    if manifest is None:
        return "other" if path.is_file() or _own_files(path, None) else "absent"
    return "interrupted" if manifest.status == "running" else manifest.status  # type: ignore[return-value]


def _own_files(path: Path, manifest: Manifest | None) -> set[Path]:
    """The files of a job that are there: those of every job, and what its manifest says."""
    return _matching(path, (*EVERY_JOB, *(manifest.files if manifest is not None else ())))


def _foreign_files(path: Path, earlier: Manifest | None, manifest: Manifest) -> set[Path]:
    """Files in the place of ours that no job of ours has written."""
    if earlier is None:
        return _own_files(path, manifest)
    return _matching(path, manifest.files) - _own_files(path, earlier) if earlier.task != manifest.task else set()


def _matching(path: Path, patterns: Iterable[str]) -> set[Path]:
    # A folder may come from somebody else: no pattern in its manifest leads out of it.
    found = {file for pattern in patterns if _inside(pattern) for file in path.glob(pattern)}
    return {file for file in found if file.parent.resolve().is_relative_to(path.resolve())}


def _inside(pattern: str) -> bool:
    parts = Path(pattern).parts
    stars = any("**" in part and part != "**" for part in parts)  # which no folder matches, and glob refuses
    return bool(pattern.strip("/. ")) and not Path(pattern).is_absolute() and ".." not in parts and not stars


def _left_by_a_killed_writer(path: Path, manifest: Manifest) -> set[Path]:
    """Temporary files of those that a job writes, by the names that :func:`vitreous.particles.atomic_path` makes."""
    patterns = (Path(pattern) for pattern in (*EVERY_JOB, *manifest.files))
    return _matching(path, (str(p.with_name(f".{p.name}.{'?' * 8}.tmp")) for p in patterns))


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


@contextmanager
def _marked(path: Path) -> Iterator[None]:
    """Write how the block ended into ``job.json``, the log and RELION's marker."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        logger.info("aborted: %s", str(stop) or "interrupted from the keyboard")
        _end(path, "aborted")
        raise
    except BaseException as error:
        logger.exception("failed: %s", error)
        _end(path, "failed")
        raise
    logger.info("finished")
    _end(path, "finished")


def _end(path: Path, status: str) -> None:
    manifest = read_manifest(path)
    if manifest is not None:
        write_manifest(path, manifest.ended(status))
    (path / ABORT_NOW).unlink(missing_ok=True)
    (path / MARKERS[status]).touch()
