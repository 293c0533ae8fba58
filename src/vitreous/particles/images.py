"""Where the images of a particle set are: file names, search order, lazy reading from many stacks."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.mrc import MrcStack, MrcStackWriter, open_stack, stack_in_memory
from vitreous.particles.table import Table

__all__ = [
    "STACK_SUFFIXES",
    "ImageFiles",
    "file_of",
    "image_name",
    "images_in_memory",
    "locate_images",
    "name_of_images",
    "search_folders",
]

_OPEN_STACKS = 128
_BLOCK_BYTES = 1 << 24
STACK_SUFFIXES = (".mrcs", ".mrc", ".map", ".st", ".ali")


class _StackCache:
    """Keeps some stacks open: opening costs more than reading a small image, and open files are limited."""

    def __init__(self) -> None:
        self.open: Callable[[Path], MrcStack] = lru_cache(maxsize=_OPEN_STACKS)(open_stack)

    def __reduce__(self) -> tuple[type["_StackCache"], tuple[()]]:
        # Another process opens its own files.
        return _StackCache, ()


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageFiles:
    """Image ``frame[i]`` (from 0) of file ``code[i]`` belongs to particle i."""

    names: tuple[str, ...]  # as the particle file has them
    paths: tuple[Path | None, ...]  # where they were found, None if nowhere
    folders: tuple[Path, ...]  # where they were looked for
    code: np.ndarray  # (n,) int64
    frame: np.ndarray  # (n,) int64
    sign: np.ndarray | None  # (n,) float32 factor of the pixels (cryoSPARC's blob/sign), None for 1
    stacks: _StackCache
    held: MrcStack | None = None  # the stack of all images, where they are in memory

    def take(self, index: np.ndarray) -> "ImageFiles":
        """The images of the particles in ``index``."""
        sign = None if self.sign is None else self.sign[index]
        return replace(self, code=self.code[index], frame=self.frame[index], sign=sign)

    def stack(self, code: int) -> MrcStack:
        """The open stack of a file; ParticleFileError if it was not found or is not readable."""
        if self.held is not None:
            return self.held
        path = self.paths[code]
        if path is None:
            tried = ", ".join(map(str, self.folders))
            raise ParticleFileError(
                f"image file {self.names[code]} was not found; looked in {tried}; give the project directory (project=)"
            )
        return self.stacks.open(path)

    def first_found(self) -> MrcStack:
        """The open stack of the first particle whose file was found; ParticleFileError if there is none."""
        codes = self.code[np.sort(np.unique(self.code, return_index=True)[1])].tolist()
        return self.stack(next((code for code in codes if self.paths[code] is not None), codes[0]))

    def read(self, rows: np.ndarray, box_px: int, where: Callable[[int], str]) -> np.ndarray:
        """Images of the particles ``rows``: float32 (m, L, L); ``where`` names a particle in an error."""
        groups = _by_value(self.code[rows])
        # Before anything is allocated: a damaged table may promise an absurd box.
        if groups:
            self._stack_for(rows[groups[0]], box_px, where)
        out = np.empty((len(rows), box_px, box_px), dtype=np.float32)
        for places in groups:
            self._stack_for(rows[places], box_px, where).read_into(out, places, self.frame[rows[places]])
        if self.sign is not None:
            out *= self.sign[rows][:, None, None]
        return out

    def _stack_for(self, rows: np.ndarray, box_px: int, where: Callable[[int], str]) -> MrcStack:
        """The stack of particles of one file, if it has all their images in this box."""
        first = int(rows[0])
        try:
            stack = self.stack(int(self.code[first]))
        except (ParticleFileError, FileNotFoundError) as error:
            raise ParticleFileError(f"particle {first + 1} ({where(first)}): {error}") from error
        if stack.box_px != box_px:
            raise ParticleFileError(
                f"particle {first + 1} ({where(first)}): mixed boxes: images of {stack.path} are {stack.box_px} "
                f"pixels wide, expected {box_px}; rescale or re-extract them to one box"
            )
        beyond = self.frame[rows] >= len(stack)
        if beyond.any():
            bad = int(rows[np.argmax(beyond)])
            raise ParticleFileError(
                f"particle {bad + 1} ({where(bad)}): image {self.frame[bad] + 1} is beyond the stack {stack.path}, "
                f"which has {len(stack)} images"
            )
        return stack

    def keep_beside(self, path: Path, project: Path | None) -> None:
        """Write images that are in memory where a reader of the STAR file ``path`` finds them; others are on disk.

        A file of their name holds them already: the name is made from the pixels.
        """
        if self.held is None or _find(self.names[0], search_folders(path, project)) is not None:
            return
        size = max(1, _BLOCK_BYTES // max(1, self.held.header.image_bytes))
        target = path.parent / self.names[0]
        with MrcStackWriter(target, box_px=self.held.box_px, pixel_size_A=self.held.header.pixel_size_A) as writer:
            for start in range(0, len(self.held), size):
                writer.append(self.held.read(np.arange(start, min(start + size, len(self.held)))))


def name_of_images(images: np.ndarray, pixel_size_A: float) -> str:
    """The name that the file of an array (n, L, L), contiguous, will have: made from its pixels, so that it is its."""
    digest = blake2b(f"{images.shape} {pixel_size_A}".encode(), digest_size=8)
    digest.update(images.data)
    return f"images-{digest.hexdigest()}.mrcs"


def images_in_memory(images: np.ndarray, pixel_size_A: float, name: str) -> ImageFiles:
    """All of an array (n, L, L), float32 and contiguous, under the name that their file will have."""
    return ImageFiles(
        names=(name,),
        paths=(Path(name),),
        folders=(),
        code=np.zeros(len(images), np.int64),
        frame=np.arange(len(images)),
        sign=None,
        stacks=_StackCache(),
        held=stack_in_memory(images, pixel_size_A, name),
    )


def locate_images(table: Table, *, star_path: Path, project: Path | None) -> ImageFiles:
    """Parse ``rlnImageName`` (``000012@folder/stack.mrcs``, counted from 1) and find the files.

    A column ``blob/sign``, which comes from cryoSPARC, is taken as the factor of the pixels that it is there.
    Raises ParticleFileError for a missing column or a malformed name, with its line.
    """
    if "rlnImageName" not in table:
        table.text("rlnImageName", "finding the images")
    known: dict[bytes, int] = {}
    n = len(table)
    code, frame = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for i, token in enumerate(table.columns["rlnImageName"].tokens()):
        number, at, name = token.partition(b"@")
        if not at:
            number, name = b"1", token
        if not (number.isdigit() and name and len(number) < 16 and int(number) > 0):
            shown = token.decode("utf-8", "replace")
            raise ParticleFileError(
                f"{table.where(i)}: rlnImageName is {shown!r}; expected something like 000001@folder/stack.mrcs"
            )
        frame[i] = int(number) - 1
        code[i] = known.setdefault(name, len(known))
    names = tuple(name.decode("utf-8", "surrogateescape") for name in known)
    folders = search_folders(star_path, project)
    return ImageFiles(
        names=names,
        paths=tuple(_find(name, folders) for name in names),
        folders=folders,
        code=code,
        frame=frame,
        sign=_sign(table),
        stacks=_StackCache(),
    )


def search_folders(star_path: Path, project: Path | None) -> tuple[Path, ...]:
    """Where relative image names are looked for, in this order.

    The project directory if one is given, the folder of the particle file, the current directory, and the parents of
    the folder. Names in RELION and cryoSPARC files are relative to the project directory, which is one of these in
    every usual layout; a stack that lies beside the file that names it is not mistaken for one of the same name in
    the current directory. Absolute names are taken as they are.
    """
    folder = star_path.absolute().parent
    folders = [] if project is None else [project.absolute()]
    folders += [folder, Path.cwd(), *folder.parents]
    return tuple(dict.fromkeys(folders))


def image_name(frame: int, file: str) -> str:
    """RELION's name of image ``frame`` (from 0) of a stack.

    >>> image_name(11, "Extract/a.mrcs")
    '000012@Extract/a.mrcs'
    """
    return f"{frame + 1:06d}@{file}"


def file_of(name: str) -> str:
    """The file of an image name, without the format that RELION lets stand behind a colon.

    >>> file_of("J1/part.mrc:mrcs"), file_of("a:b.mrcs")
    ('J1/part.mrc', 'a:b.mrcs')
    """
    file, colon, kind = name.rpartition(":")
    return file if colon and f".{kind.lower()}" in STACK_SUFFIXES else name


def _find(name: str, folders: tuple[Path, ...]) -> Path | None:
    name = file_of(name)
    for folder in folders:
        candidate = folder / name
        try:
            if candidate.exists():
                return candidate
        except (OSError, ValueError):
            return None
    return None


def _sign(table: Table) -> np.ndarray | None:
    if "blob/sign" not in table:
        return None
    sign = table.numbers("blob/sign").astype(np.float32)
    if (odd := np.abs(sign) != 1).any():
        row = int(np.argmax(odd))
        raise ParticleFileError(f"{table.where(row)}: blob/sign is {sign[row]:g}; expected 1 or -1")
    return None if (sign == 1).all() else sign


def _by_value(codes: np.ndarray) -> list[np.ndarray]:
    """Positions of equal codes, one array per code, ascending within each."""
    if len(codes) == 0:
        return []
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
