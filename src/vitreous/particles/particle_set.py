"""A set of particles: their table, optics and images, as one immutable value."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vitreous.optics import CTFParameters
from vitreous.particles.alignment_columns import alignment_columns
from vitreous.particles.errors import ParticleFileError
from vitreous.particles.images import ImageFiles, locate_images
from vitreous.particles.moved_names import with_names_from
from vitreous.particles.mrc_header import MAX_SIDE
from vitreous.particles.one_size import common_value, mean_size
from vitreous.particles.optics_groups import group_index
from vitreous.particles.star import write_star
from vitreous.particles.table import Table
from vitreous.particles.usable import Usable
from vitreous.pictures import Shown, shown
from vitreous.words import folded

__all__ = ["ParticleSet", "assemble"]

_CTF_COLUMNS = {
    "rlnDefocusU": "defocus in A",
    "rlnVoltage": "voltage in kV",
    "rlnSphericalAberration": "spherical aberration in mm",
    "rlnAmplitudeContrast": "amplitude contrast, 0 to 1",
}
PHASE_FLIPPED, PREMULTIPLIED = "rlnCtfDataArePhaseFlipped", "rlnCtfDataAreCtfPremultiplied"


@dataclass(frozen=True, kw_only=True, eq=False)
class ParticleSet:
    """n particles. Columns are RELION's, unknown ones are carried along, images stay on disk until they are read.

    Parameters of the microscope are taken from the particle table where it has them, else from the particle's optics
    group, as RELION does.
    """

    path: Path
    project: Path | None
    table: Table  # one row per particle
    optics: Table  # one row per optics group; made up from the particle table for files without one
    optics_group: np.ndarray  # (n,) int64, row of `optics`, from 0
    images: ImageFiles
    blocks: dict[str, Table]  # the other blocks of the file
    layout: tuple[str, ...]  # names of all blocks in the order of the file; "optics" is missing in RELION 3.0 files
    block: str  # name of the particle block
    notes: tuple[str, ...] = ()  # what was taken for granted when the file was read
    usable: Usable | None = None  # which particles can be used; None where nobody has judged (see `judged`)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def box_px(self) -> int:
        """Side of the images: ``rlnImageSize``, else from the first stack that is there; mixed sizes are an error."""
        if self.usable is not None and self.usable.box_px is not None:
            return self.usable.box_px
        sizes = self.parameter("rlnImageSize")
        if sizes is None:
            return self.images.first_found().box_px
        size = common_value(sizes, "box size (rlnImageSize)", self.table, tolerance=0.0)
        if not 1 <= size <= MAX_SIDE or size != int(size):
            raise ParticleFileError(f"{self.path}: rlnImageSize is {size:g}; expected a number of pixels")
        return int(size)

    @cached_property
    def pixel_size_A(self) -> float:
        """Pixel size of the images; ParticleFileError if the file does not say or says different ones.

        Sizes that differ by so little that their mean moves no pixel of an image by more than half a pixel count as
        their mean over the particles.
        """
        if self.usable is not None and self.usable.pixel_size_A is not None:
            return self.usable.pixel_size_A
        sizes = self.parameter("rlnImagePixelSize")
        if sizes is None:
            raise ParticleFileError(
                f"{self.path}: no pixel size (rlnImagePixelSize in the optics table, or rlnDetectorPixelSize and "
                "rlnMagnification); give it as pixel_size_A (--angpix)"
            )
        if not (sizes == sizes[0]).all() and (mean := mean_size(sizes, self.box_px)) is not None:
            return mean
        size = common_value(sizes, "pixel size (rlnImagePixelSize)", self.table, tolerance=1e-4)
        if not (np.isfinite(size) and size > 0):
            raise ParticleFileError(f"{self.path}: pixel size {size:g} A; expected more than 0; give pixel_size_A")
        return size

    @property
    def bad(self) -> np.ndarray:
        """(n,) bool, particles that cannot be used; none where the set has not been judged."""
        return np.zeros(len(self), dtype=bool) if self.usable is None else self.usable.bad

    @property
    def finest_A(self) -> float | None:
        """The images hold nothing finer, because they were filtered; None where they were not, or nobody has judged."""
        return None if self.usable is None else self.usable.finest_A

    @property
    def digest(self) -> str:
        """Of the pixels of all images, in hexadecimal; "" where the set has not been judged."""
        return "" if self.usable is None else self.usable.digest

    @property
    def has_ctf(self) -> bool:
        """Whether everything is there that a CTF needs."""
        return not self.missing_ctf_columns

    @property
    def missing_ctf_columns(self) -> tuple[str, ...]:
        """Columns without which no CTF can be computed."""
        return tuple(c for c in _CTF_COLUMNS if not self.has(c))

    @cached_property
    def ctf(self) -> CTFParameters:
        """CTF parameters of all particles; ParticleFileError names the columns that are missing.

        As in RELION: without ``rlnDefocusV`` there is no astigmatism; angle, phase shift and B-factor default to 0.
        Particles that cannot be used have the parameters of the first one that can.
        """
        if self.missing_ctf_columns:
            missing = ", ".join(f"{c} ({_CTF_COLUMNS[c]})" for c in self.missing_ctf_columns)
            raise ParticleFileError(f"{self.path}: no column {missing}, needed for the CTF; add it with with_columns")
        defocus_u = self._number("rlnDefocusU", None)
        params = CTFParameters(
            defocus_u_A=defocus_u,
            defocus_v_A=self._number("rlnDefocusV", defocus_u),
            defocus_angle_deg=self._number("rlnDefocusAngle", 0.0),
            voltage_kV=self._number("rlnVoltage", None),
            cs_mm=self._number("rlnSphericalAberration", None),
            amplitude_contrast=self._number("rlnAmplitudeContrast", None),
            phase_shift_deg=self._number("rlnPhaseShift", 0.0),
            b_factor_A2=self._number("rlnCtfBfactor", 0.0),
            phase_flipped=(self._number(PHASE_FLIPPED, 0.0) != 0).astype(float),
            premultiplied=(self._number(PREMULTIPLIED, 0.0) != 0).astype(float),
        )
        if not self.bad.any() or self.bad.all():
            return params
        return params.take(np.where(self.bad, np.argmin(self.bad), np.arange(len(self))))

    def ctf_for(self, wanted: bool, *, premultiplied: bool = False) -> CTFParameters | None:
        """The CTF for a job that corrects it; None where it is not wanted or the file does not have it.

        premultiplied: the job can use images that were multiplied by their CTF (:func:`vitreous.optics.ctf_weight`);
        for all others they are refused by a ParticleFileError, since their noise is not what a method takes it for.
        Images whose phases were flipped need nothing special: their CTF is its absolute value.
        """
        if not wanted or not self.has_ctf:
            return None
        if self.ctf.premultiplied.any() and not premultiplied:
            raise ParticleFileError(
                f"{self.path}: images are premultiplied by their CTF ({PREMULTIPLIED}), which colours "
                "their noise; give the particles as they were extracted"
            )
        return self.ctf

    @cached_property
    def origin_A(self) -> np.ndarray:
        """(n, 2) shifts x, y in A that centre the images: ``rlnOriginXAngst``, ``rlnOriginX`` in pixels, or 0."""
        columns = []
        for axis in "XY":
            if f"rlnOrigin{axis}Angst" in self.table:
                columns.append(self.table.numbers(f"rlnOrigin{axis}Angst"))
            elif f"rlnOrigin{axis}" in self.table:
                columns.append(self.table.numbers(f"rlnOrigin{axis}") * self.pixel_size_A)
            else:
                columns.append(np.zeros(len(self)))
        return np.where(self.bad[:, None], 0.0, np.stack(columns, axis=1))

    @cached_property
    def angles_deg(self) -> np.ndarray:
        """(n, 3) ``rlnAngleRot``, ``rlnAngleTilt``, ``rlnAnglePsi``; 0 for particles that cannot be used.

        ParticleFileError names a column that is missing.
        """
        names = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
        angles = np.stack([self.table.numbers(name, "the pose of every particle") for name in names], axis=1)
        return np.where(self.bad[:, None], 0.0, angles)

    @property
    def micrograph(self) -> np.ndarray:
        """(n,) int64 index into ``micrograph_names``."""
        return self._micrographs[0]

    @property
    def micrograph_names(self) -> tuple[str, ...]:
        """``rlnMicrographName`` in order of appearance; the names of the stacks if there is no such column."""
        return self._micrographs[1]

    @property
    def image_files(self) -> tuple[Path | None, ...]:
        """The stacks in order of appearance; None for one that was not found."""
        return self.images.paths

    def read(self, indices: ArrayLike | slice) -> np.ndarray:
        """Images as float32 (m, L, L), particles counted from 0; integers, a mask or a slice.

        cryoSPARC's ``blob/sign`` is applied. ParticleFileError names the particle and the file of an image that is
        missing, beyond its stack or of another size. In a set that has been judged, images that cannot be used are
        zeros, and pixels that neither noise nor particles have are background.
        """
        rows = np.atleast_1d(np.arange(len(self))[indices if isinstance(indices, slice) else _as_index(indices)])
        bad = self.bad[rows]
        if self.usable is None or not bad.any():
            images = self.images.read(rows, self.box_px, self.table.where)
        else:
            images = np.zeros((len(rows), self.box_px, self.box_px), dtype=np.float32)
            images[~bad] = self.images.read(rows[~bad], self.box_px, self.table.where)
        if self.usable is not None:
            self.usable.mend(images, rows)
        return images

    def subset(self, indices: ArrayLike) -> "ParticleSet":
        """The particles in ``indices`` (integers or a mask), in that order; ValueError if there are none."""
        rows = np.arange(len(self))[_as_index(indices)]
        if len(rows) == 0:
            raise ValueError(f"{self.path}: no particles are chosen; a particle set holds at least one")
        return replace(
            self,
            table=self.table.take(rows),
            optics_group=self.optics_group[rows],
            images=self.images.take(rows),
            usable=None if self.usable is None else self.usable.take(rows),
        )

    def with_columns(self, **columns: ArrayLike) -> "ParticleSet":
        """The set with columns added or replaced: ``p.with_columns(rlnClassNumber=numbers)``."""
        table = self.table.with_columns(columns)
        if {"rlnImageName", "rlnOpticsGroup", "blob/sign"}.isdisjoint(columns):
            return replace(self, table=table)
        return assemble(
            path=self.path,
            project=self.project,
            table=table,
            optics=self.optics,
            optics_group=group_index(table, self.optics) if "rlnOpticsGroup" in columns else self.optics_group,
            blocks=self.blocks,
            layout=self.layout,
            block=self.block,
            notes=self.notes,
        )

    def with_alignments(self, found: Any) -> "ParticleSet":
        """The set with the classes, angles and shifts of a result, of alignments or poses, or of another set.

        Particles of another set (those of a result, if it has some) are found by the names of their images; values of
        the class :class:`vitreous.matching.Alignments` and of poses belong to the particles in their order. Raises
        ValueError where particles are missing, or their number is another one, and TypeError for what has no poses.
        """
        return self.with_columns(**alignment_columns(self, found))

    def beside(self, path: Path) -> "ParticleSet":
        """The set as if it had been read from ``path``, whose folder tells later jobs about its images."""
        return replace(self, path=path)

    def show(self, n: int = 20) -> Shown:
        """n images, evenly spread over the set; a notebook shows them."""
        good = np.flatnonzero(~self.bad)
        rows = np.unique(good[np.linspace(0, len(good) - 1, min(n, len(good))).astype(np.int64)]) if len(good) else good
        return shown(repr(self), self.read(rows), [f"{row + 1}" for row in rows])

    def to_pandas(self) -> Any:
        """The table of the particles as a pandas DataFrame; ImportError where there is no pandas."""
        return self.table.to_pandas()

    def __repr__(self) -> str:
        first = f"{len(self):,} particles of {self.path}"
        with suppress(ParticleFileError, OSError):
            first += f", {self.box_px} x {self.box_px} pixels of {self.pixel_size_A:g} A"
        first += ", with CTF" if self.has_ctf else ", no CTF"
        return "\n".join([first, *folded(f"columns {', '.join(self.table.names)}", lines=2)])

    def _repr_html_(self) -> str:
        return self.show()._repr_html_()

    def write(self, path: str | Path) -> None:
        """Write a STAR file in the form in which the set was read, atomically.

        Image names are kept where a reader of the new file finds the same image under them (see
        :func:`vitreous.particles.search_folders`), and become absolute where it would not. Images that are in memory
        are written beside it, unless they are there already.
        """
        path = Path(path)
        self.images.keep_beside(path, self.project)
        named = with_names_from(path, self.table, self.images, self.project)
        tables = self.blocks | {"optics": self.optics, self.block: named}
        write_star(path, {name: tables[name] for name in self.layout})

    def has(self, name: str) -> bool:
        """Whether particles or optics groups have this column."""
        return name in self.table or name in self.optics

    def parameter(self, name: str) -> np.ndarray | None:
        """(n,) float64 of a parameter that particles or optics groups may have; None if neither has it."""
        if name in self.table:
            return self.table.numbers(name)
        if name in self.optics:
            return self.optics.numbers(name)[self.optics_group]
        return None

    def _number(self, name: str, default: np.ndarray | float | None) -> np.ndarray:
        values = self.parameter(name)
        return np.broadcast_to(np.asarray(default), (len(self),)).copy() if values is None else values

    @cached_property
    def _micrographs(self) -> tuple[np.ndarray, tuple[str, ...]]:
        if "rlnMicrographName" not in self.table:
            return self.images.code, self.images.names
        known: dict[bytes, int] = {}
        tokens = self.table.columns["rlnMicrographName"].tokens()
        code = np.array([known.setdefault(token, len(known)) for token in tokens], dtype=np.int64)
        return code, tuple(name.decode("utf-8", "surrogateescape") for name in known)


def assemble(
    *,
    path: Path,
    project: Path | None,
    table: Table,
    optics: Table,
    optics_group: np.ndarray,
    blocks: dict[str, Table],
    layout: tuple[str, ...],
    block: str,
    notes: tuple[str, ...] = (),
) -> ParticleSet:
    """Make a :class:`ParticleSet`: finds the images and refuses an empty table (ParticleFileError)."""
    if len(table) == 0:
        raise ParticleFileError(f"{path}: the table data_{block} is empty; expected one row per particle")
    return ParticleSet(
        path=path,
        project=project,
        table=table,
        optics=optics,
        optics_group=optics_group,
        images=locate_images(table, star_path=path, project=project),
        blocks=blocks,
        layout=layout,
        block=block,
        notes=notes,
    )


def _as_index(indices: ArrayLike) -> np.ndarray:
    index = np.asarray(indices)
    if index.size == 0 and index.dtype.kind == "f":
        index = index.astype(np.int64)
    if index.dtype.kind not in "iub":
        raise IndexError(f"particles are chosen by integers or a mask; found an array of type {index.dtype}")
    return index
