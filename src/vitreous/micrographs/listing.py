"""Which micrographs there are: files, folders, patterns, and STAR lists with the CTF of every micrograph."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np

from vitreous.micrographs.reading import PICTURES
from vitreous.optics import CTFParameters
from vitreous.particles import ParticleFileError, Table, read_star
from vitreous.particles.optics_groups import group_index

__all__ = ["ListedMicrograph", "list_micrographs", "located", "names_micrographs", "same_micrographs"]

NEEDED = ("rlnDefocusU", "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
KINDS = ((".mrc",), PICTURES[:2], PICTURES[2:])  # of a folder with several kinds of files the first one is taken
SAMPLES, SAMPLE_BYTES = 16, 4096  # of a file, by which it is known again
PIXEL_SIZES = ("rlnMicrographPixelSize", "rlnImagePixelSize")


@dataclass(frozen=True, kw_only=True, eq=False)
class ListedMicrograph:
    """A micrograph that is to be read, and what a list says about it."""

    path: Path
    name: str  # as the list or the user has it
    pixel_size_A: float | None = None
    ctf: CTFParameters | None = None  # of one image

    @property
    def stem(self) -> str:
        """The name without folder and ending, by which files of results are called."""
        return Path(self.name).name.removesuffix(self.path.suffix)


def list_micrographs(
    given: Iterable[str | Path], *, project: Path | None = None, pixel_size_A: float | None = None
) -> tuple[ListedMicrograph, ...]:
    """The micrographs of files, of folders, of patterns (``*.mrc``) and of STAR lists, in the order given.

    Names in a list are looked for below ``project``, below the list, and where the program was started.
    ``pixel_size_A`` overrules what lists and headers say. Micrographs need not be there yet: what is wrong with
    one is found when it is read. Of a folder the ``.mrc`` files are taken, else its ``.tif`` files, else its other
    pictures. Raises FileNotFoundError for a pattern that nothing fits and a list that is not there, ParticleFileError
    for a folder or a list without micrographs and for two of the same name.
    """
    found: list[ListedMicrograph] = []
    for path in map(Path, given):
        if path.suffix.lower() == ".star":
            found += _of_list(path, project, pixel_size_A)
            continue
        paths = _matching(path)
        found += [ListedMicrograph(path=p, name=str(p), pixel_size_A=pixel_size_A) for p in paths]
    if not found:
        raise ParticleFileError("no micrographs were given; expected files, a pattern such as *.mrc, or a STAR list")
    double = [stem for stem, count in Counter(m.stem for m in found).items() if count > 1]
    if double:
        raise ParticleFileError(
            f"{len(double)} name(s) of micrographs occur twice, such as {double[0]}: coordinates are called after "
            "them; pick them in jobs of their own"
        )
    return tuple(found)


def names_micrographs(path: Path) -> bool:
    """Whether a file is a STAR list of micrographs, or of particles in them."""
    if path.suffix.lower() != ".star" or not path.is_file():
        return False
    return any("rlnMicrographName" in table for table in read_star(path).values())


def same_micrographs(micrographs: Iterable[ListedMicrograph]) -> str:
    """A digest of names, sizes and some bytes of every file: other micrographs, or pixels, have another one."""
    found = blake2b(digest_size=16)
    for listed in micrographs:
        found.update(listed.name.encode())
        try:
            size = listed.path.stat().st_size
            with listed.path.open("rb") as file:
                found.update(str(size).encode())
                for i in range(SAMPLES):
                    file.seek(max(0, size - SAMPLE_BYTES) * i // (SAMPLES - 1))
                    found.update(file.read(SAMPLE_BYTES))
        except OSError:
            found.update(b"missing")
    return found.hexdigest()


def _matching(path: Path) -> list[Path]:
    """Files of a folder, or of a pattern that the shell has left as it is; another path as it is."""
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        kind = next((kind for kind in KINDS if any(p.suffix.lower() in kind for p in inside)), ())
        if not kind:
            lists = [str(p) for p in inside if names_micrographs(p)]
            meant = f", or a list of them, such as {lists[-1]}" if lists else ""
            raise ParticleFileError(
                f"{path}: a folder without micrographs; expected files that end in .mrc, {', '.join(PICTURES)}{meant}"
            )
        return [p for p in inside if p.suffix.lower() in kind]
    if not any(mark in path.name for mark in "*?["):
        return [path]
    found = sorted(path.parent.glob(path.name))
    if not found:
        raise FileNotFoundError(f"{path}: no file fits this pattern")
    return found


def _of_list(path: Path, project: Path | None, pixel_size_A: float | None) -> list[ListedMicrograph]:
    blocks = read_star(path)
    table = next((t for t in blocks.values() if t.loop and "rlnMicrographName" in t), None)
    if table is None or len(table) == 0:
        raise ParticleFileError(f"{path}: no micrographs: no block has rows with the column rlnMicrographName")
    optics = blocks.get("optics")
    group = group_index(table, optics) if optics is not None and "rlnOpticsGroup" in table else None
    columns = {
        name: _column(table, optics, group, name)
        for name in (*NEEDED, *PIXEL_SIZES, "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor")
    }
    # In a table of particles rlnImagePixelSize is that of their boxes, which may have been made smaller.
    known = PIXEL_SIZES[:1] if "rlnImageName" in table else PIXEL_SIZES
    sizes = next((columns[name] for name in known if columns[name] is not None), None)
    names = table.text("rlnMicrographName").tolist()
    first = dict(zip(reversed(names), reversed(range(len(names))), strict=True))  # particles repeat their micrograph
    return [
        ListedMicrograph(
            path=located(name, path, project),
            name=name,
            pixel_size_A=pixel_size_A if pixel_size_A is not None or sizes is None else float(sizes[row]),
            ctf=_ctf(columns, row),
        )
        for name, row in sorted(first.items(), key=lambda item: item[1])
    ]


def _column(table: Table, optics: Table | None, group: np.ndarray | None, name: str) -> np.ndarray | None:
    if name in table:
        return table.numbers(name)
    if optics is not None and group is not None and name in optics:
        return optics.numbers(name)[group]
    return None


def _ctf(columns: dict[str, np.ndarray | None], row: int) -> CTFParameters | None:
    def one(name: str, default: float = 0.0) -> np.ndarray:
        values = columns[name]
        return np.array([default if values is None else values[row]])

    if any(columns[name] is None for name in NEEDED):
        return None
    u = one("rlnDefocusU")
    ctf = CTFParameters(
        defocus_u_A=u,
        defocus_v_A=one("rlnDefocusV", float(u[0])),
        defocus_angle_deg=one("rlnDefocusAngle"),
        voltage_kV=one("rlnVoltage"),
        cs_mm=one("rlnSphericalAberration"),
        amplitude_contrast=one("rlnAmplitudeContrast"),
        phase_shift_deg=one("rlnPhaseShift"),
        b_factor_A2=one("rlnCtfBfactor"),
    )
    return ctf if np.isfinite([u[0], ctf.defocus_v_A[0]]).all() else None


def located(name: str, star: Path, project: Path | None) -> Path:
    """The file of a name in a STAR file: below the project, beside the file, or where the program was started."""
    folders = [*([project] if project is not None else []), star.parent, Path()]
    return next((folder / name for folder in folders if (folder / name).is_file()), folders[0] / name)
