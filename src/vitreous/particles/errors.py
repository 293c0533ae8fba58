"""What is raised when a file of particles cannot be used, and the check that every reader starts with."""

from pathlib import Path

__all__ = ["ParticleFileError", "require_file"]


class ParticleFileError(ValueError):
    """A STAR, MRC or cryoSPARC file that is malformed or does not hold what was asked of it; the message names it."""


def require_file(path: str | Path, what: str) -> Path:
    """The path as a ``Path`` if it is a file.

    Raises FileNotFoundError if nothing is there and ParticleFileError for a directory; ``what`` says what was
    expected there ("a STAR file").
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
        raise ParticleFileError(f"{path} is {kind}; expected {what}")
    raise FileNotFoundError(f"{path} does not exist; expected {what}")
