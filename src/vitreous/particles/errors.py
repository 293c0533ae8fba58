"""What is raised when a file of particles cannot be used, and the check that every reader starts with."""

from pathlib import Path

__all__ = ["ParticleFileError", "require_file"]

# Files of a directory that was given in the place of a file: by the ending, or the word, that was expected there.
READABLE = (".star", ".cs", ".mrcs")
MEANT = {"map": (".mrc", ".map"), "STAR": (".star",), "stack": (".mrcs",)}
BESIDE = ("RELION_", "backup_", ".")
MOST_NAMED = 5


class ParticleFileError(ValueError):
    """A STAR, MRC or cryoSPARC file that is malformed or does not hold what was asked of it; the message names it."""


def require_file(path: str | Path, what: str) -> Path:
    """The path as a ``Path`` if it is a file.

    Raises FileNotFoundError if nothing is there and ParticleFileError for a directory, with files in it that may have
    been meant; ``what`` says what was expected there ("a STAR file").
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise ParticleFileError(f"{str(path)!r} cannot be a file name ({error}); expected {what}") from error
    if exists:
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise ParticleFileError(f"{path} is {kind}; expected {what}{_files_in(path, what)}")
    raise FileNotFoundError(f"{path} does not exist; expected {what}")


def _files_in(folder: Path, what: str) -> str:
    """Some files of a directory that may have been meant, as the end of a sentence; nothing where there are none."""
    kinds = tuple(suffix for suffix in READABLE if suffix in what) or tuple(
        suffix for word, suffixes in MEANT.items() if word in what for suffix in suffixes
    )
    try:
        found = [path.name for path in folder.iterdir() if path.suffix in kinds and path.is_file()]
    except OSError:
        return ""
    likely = sorted(
        (name for name in found if not name.startswith(BESIDE)), key=lambda name: ("data" not in name, name)
    )
    more = ", ..." if len(likely) > MOST_NAMED else ""
    return f", such as one of those in it: {', '.join(likely[:MOST_NAMED])}{more}" if likely else ""
