"""cryoSPARC particle files (``.cs``): read safely and put into RELION's terms without losing a field.

Every field of the file (and of its passthrough files) is kept as a column under its own name, ``blob/path``; a field
with several components becomes one column for each, ``alignments3D/pose/0`` .. ``/2``. Beside these stand the RELION
columns computed from them, which is what the rest of the package uses:

==============================  ========================================================================
``rlnImageName``                ``blob/idx`` (from 0) + 1 and ``blob/path`` without its leading ``>``; ``:mrcs`` says
                                to RELION that a file .mrc is a stack
``rlnMicrographName``           ``location/micrograph_path``
``rlnCoordinateX``, ``Y``       ``location/center_x_frac``, ``center_y_frac`` (y counts from the bottom there)
``rlnDefocusU``, ``V``, ``Angle``   ``ctf/df1_A``, ``ctf/df2_A``, ``ctf/df_angle_rad``
``rlnPhaseShift``               ``ctf/phase_shift_rad``
``rlnAngleRot``, ``Tilt``, ``Psi``  ``alignments3D/pose``: G = exp(pose), the pose matrix of ``conventions``
``rlnAnglePsi``                 ``alignments2D/pose``, of the 2D alignment
``rlnOriginXAngst``, ``Y``      ``shift`` times ``psize_A`` of the same alignment
``rlnClassNumber``              ``class`` (from 0) + 1 of the same alignment
``rlnRandomSubset``             ``alignments3D/split`` (from 0) + 1
optics table                    one row per ``ctf/exp_group_id`` and set of microscope parameters
==============================  ========================================================================

``blob/sign`` is -1 where the images are stored dark on light; reading the images multiplies by it, as cryoSPARC does.
``ctf/bfactor``, beam tilt and the higher aberrations are kept but not translated.

A file may hold several alignments of its particles: of a 2D classification, of a refinement, of a heterogeneous
refinement (``alignments3D_multi``, of which the likeliest class is taken). Class, angles and shifts are taken from one
and the same, that in 3D where nothing else is asked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from vitreous.particles.atomic import atomic_path
from vitreous.particles.errors import ParticleFileError, require_file
from vitreous.particles.images import image_name
from vitreous.particles.table import Table

__all__ = ["load_cs", "read_cryosparc", "read_locations", "write_locations"]

# What a field that is translated must look like: kinds of NumPy type and components per particle.
_REAL, _INTEGER, _TEXT = "iuf", "iu", "SU"
_FORMS: dict[str, tuple[str, int]] = {
    "uid": (_INTEGER, 1),
    "blob/path": (_TEXT, 1),
    "blob/idx": (_INTEGER, 1),
    "blob/shape": (_INTEGER, 2),
    "blob/psize_A": (_REAL, 1),
    "blob/sign": (_REAL, 1),
    "ctf/exp_group_id": (_INTEGER, 1),
    "ctf/accel_kv": (_REAL, 1),
    "ctf/cs_mm": (_REAL, 1),
    "ctf/amp_contrast": (_REAL, 1),
    "ctf/df1_A": (_REAL, 1),
    "ctf/df2_A": (_REAL, 1),
    "ctf/df_angle_rad": (_REAL, 1),
    "ctf/phase_shift_rad": (_REAL, 1),
    "alignments2D/pose": (_REAL, 1),
    "alignments2D/shift": (_REAL, 2),
    "alignments2D/psize_A": (_REAL, 1),
    "alignments2D/class": (_INTEGER, 1),
    "alignments3D/pose": (_REAL, 3),
    "alignments3D/shift": (_REAL, 2),
    "alignments3D/psize_A": (_REAL, 1),
    "alignments3D/class": (_INTEGER, 1),
    "alignments3D/split": (_INTEGER, 1),
    "location/micrograph_path": (_TEXT, 1),
    "location/micrograph_shape": (_INTEGER, 2),
    "location/center_x_frac": (_REAL, 1),
    "location/center_y_frac": (_REAL, 1),
}
_MAX_HEADER = 1 << 20  # a .cs with many fields exceeds NumPy's default of 10,000


def read_cryosparc(
    path: str | Path, *, passthrough: Sequence[str | Path] = (), alignment: Literal["2D", "3D"] | None = None
) -> tuple[Table, Table, tuple[str, ...]]:
    """(particle table, optics table, notes) of a ``.cs`` file; fields of passthrough files are joined by ``uid``.

    alignment: which one gives class, angles and shifts where there are several; None: that in 3D.

    Raises ParticleFileError for a file that is not one, an empty one, missing ``blob/path`` or ``blob/idx``, and
    passthrough files that do not hold every particle exactly once.
    """
    path = Path(path)
    fields = _fields(path)
    for other in passthrough:
        _join(path, fields, Path(other), _fields(Path(other)))
    for name, purpose in (("blob/path", "finding the images"), ("blob/idx", "finding the images")):
        if name not in fields:
            raise ParticleFileError(
                f"{path}: no field {name}, needed for {purpose}; it may be in a passthrough file (passthrough=)"
            )
    group, optics = _optics(fields)
    columns: dict[str, np.ndarray | list[str]] = {**_relion_columns(fields), "rlnOpticsGroup": group + 1}
    chosen, notes = _chosen_alignment(fields, alignment)
    if chosen is not None:
        columns |= _pose(fields, chosen)
    for name, values in fields.items():
        columns.update(_flatten(name, values))
    return replace(Table.from_arrays(columns), path=path), optics, notes


def read_locations(path: str | Path) -> Table:
    """Micrographs and coordinates of a ``.cs`` file of picks or particles, which needs no images.

    ``rlnMicrographName``, ``rlnCoordinateX``, ``rlnCoordinateY``, and ``rlnAutopickFigureOfMerit`` where it has
    ``pick_stats/ncc_score``. Raises ParticleFileError for a file that lacks the former.
    """
    path = Path(path)
    fields = _fields(path)
    columns = _location(fields)
    for name, field in (
        ("rlnMicrographName", "location/micrograph_path"),
        ("rlnCoordinateX", "location/center_x_frac"),
    ):
        if name not in columns:
            raise ParticleFileError(f"{path}: no field {field}; expected picks or particles with their location")
    if "pick_stats/ncc_score" in fields:
        columns["rlnAutopickFigureOfMerit"] = fields["pick_stats/ncc_score"].astype(np.float64)
    return replace(Table.from_arrays(columns), path=path)


def write_locations(
    path: str | Path,
    names: Sequence[str],
    xy_px: np.ndarray,
    shape: np.ndarray,
    pixel_size_A: np.ndarray,
    score: np.ndarray,
) -> None:
    """A ``.cs`` file of n picks that cryoSPARC imports; xy_px (n, 2), shape (n, 2) rows and columns, sizes (n,).

    y counts from the bottom there. ``uid`` follows from the micrograph and the place.
    """
    longest = max((len(name.encode()) for name in names), default=1)
    kinds = [
        ("uid", "<u8"),
        ("location/micrograph_path", f"S{longest}"),
        ("location/micrograph_shape", "<u4", (2,)),
        ("location/micrograph_psize_A", "<f4"),
        ("location/center_x_frac", "<f4"),
        ("location/center_y_frac", "<f4"),
        ("pick_stats/ncc_score", "<f4"),
    ]
    rows = np.zeros(len(names), dtype=kinds)
    for i, (name, (x, y)) in enumerate(zip(names, xy_px.tolist(), strict=True)):
        key = blake2b(f"{name} {x} {y}".encode(), digest_size=8).digest()
        rows[i]["uid"], rows[i]["location/micrograph_path"] = int.from_bytes(key, "little"), name.encode()
    rows["location/micrograph_shape"], rows["location/micrograph_psize_A"] = shape, pixel_size_A
    rows["location/center_x_frac"] = xy_px[:, 0] / shape[:, 1]
    rows["location/center_y_frac"] = 1.0 - xy_px[:, 1] / shape[:, 0]
    rows["pick_stats/ncc_score"] = score
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array(file, rows, allow_pickle=False)


def load_cs(path: str | Path) -> np.ndarray:
    """The structured array of a ``.cs`` file; the header is checked before anything is allocated, nothing is unpickled.

    Raises FileNotFoundError or ParticleFileError.
    """
    path = require_file(path, "a cryoSPARC .cs file")
    with path.open("rb") as file:
        if file.read(6) == b"\x94CSDAT":
            raise ParticleFileError(f"{path}: cryoSPARC's compressed CSDAT form is not read; export as .cs")
        file.seek(0)
        shape, dtype = _header(path, file)
        if dtype.names is None or len(shape) != 1:
            raise ParticleFileError(f"{path}: not a cryoSPARC file: expected a table, found {dtype} of shape {shape}")
        if dtype.hasobject:
            raise ParticleFileError(f"{path}: holds Python objects, which are never loaded; expected numbers and text")
        if shape[0] == 0 or dtype.itemsize == 0:
            raise ParticleFileError(f"{path}: the table is empty; expected one row per particle")
        present = path.stat().st_size - file.tell()
        if present < shape[0] * dtype.itemsize:
            raise ParticleFileError(
                f"{path}: truncated: {shape[0]} particles of {dtype.itemsize} bytes promised, {present} bytes there"
            )
        return np.fromfile(file, dtype=dtype, count=shape[0])


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file, max_header_size=_MAX_HEADER)
    except Exception as error:  # NumPy evaluates the header as a Python literal, which fails in many ways
        raise ParticleFileError(f"{path}: not a cryoSPARC .cs file: {error}") from error
    return shape, dtype


def _fields(path: Path) -> dict[str, np.ndarray]:
    """The fields of a file by name; those that will be translated have the form that they must have."""
    array = load_cs(path)
    return {name: _checked(path, name, array[name]) for name in array.dtype.names or ()}


def _checked(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    kinds, components = _FORMS.get(name, (_REAL + "b" + _TEXT, 0))
    found = values.size // len(values)
    if values.dtype.kind not in kinds or found != (components or found):
        expected = f"{components or 'any number of'} of kind {kinds}"
        raise ParticleFileError(f"{path}: field {name} has {found} values of type {values.dtype}; expected {expected}")
    if values.dtype.kind == "U":
        try:
            values = np.char.encode(values, "utf-8")
        except ValueError as error:
            raise ParticleFileError(f"{path}: field {name} is not text: {error}") from error
    if not components:
        return values
    # A form such as (1,) or (2, 1) holds the same numbers.
    return values.reshape((len(values), components) if components > 1 else len(values))


def _join(path: Path, fields: dict[str, np.ndarray], other: Path, more: dict[str, np.ndarray]) -> None:
    """Add the fields that ``other`` has and ``fields`` has not, in the order of ``fields``."""
    if "uid" not in fields or "uid" not in more:
        raise ParticleFileError(f"{other}: both {path} and its passthrough need the field uid")
    order = np.argsort(more["uid"], kind="stable")
    uid = more["uid"][order]
    if (uid[1:] == uid[:-1]).any():
        raise ParticleFileError(f"{other}: a uid occurs twice: {uid[1:][uid[1:] == uid[:-1]][0]}")
    place = np.minimum(np.searchsorted(uid, fields["uid"]), len(uid) - 1)
    absent = uid[place] != fields["uid"]
    if absent.any():
        raise ParticleFileError(
            f"{other}: {absent.sum()} of {len(absent)} particles of {path} are not in this passthrough file, "
            f"first uid {fields['uid'][absent][0]}"
        )
    for name, values in more.items():
        if name not in fields:
            fields[name] = values[order[place]]


def _flatten(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    flat = values.reshape(len(values), -1)
    names = [name] if values.ndim == 1 else [f"{name}/{i}" for i in range(flat.shape[1])]
    return {n: flat[:, i] for i, n in enumerate(names)}


def _text(values: np.ndarray) -> list[str]:
    return [v.decode("utf-8", "surrogateescape") for v in values.tolist()]


def _relion_columns(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray | list[str]]:
    files = [name.removeprefix(">") for name in _text(fields["blob/path"])]
    frames = fields["blob/idx"].tolist()
    columns: dict[str, np.ndarray | list[str]] = {
        "rlnImageName": [image_name(i, _as_stack(file)) for i, file in zip(frames, files, strict=True)]
    }
    columns |= _location(fields)
    for name, field, factor in (
        ("rlnDefocusU", "ctf/df1_A", 1.0),
        ("rlnDefocusV", "ctf/df2_A", 1.0),
        ("rlnDefocusAngle", "ctf/df_angle_rad", 180 / np.pi),
        ("rlnPhaseShift", "ctf/phase_shift_rad", 180 / np.pi),
    ):
        if field in fields:
            columns[name] = fields[field].astype(np.float64) * factor
    if "alignments3D/split" in fields:
        columns["rlnRandomSubset"] = fields["alignments3D/split"].astype(np.int64) + 1
    return columns


def _as_stack(file: str) -> str:
    return f"{file}:mrcs" if file.lower().endswith((".mrc", ".map")) else file


def _location(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray | list[str]]:
    columns: dict[str, np.ndarray | list[str]] = {}
    if "location/micrograph_path" in fields:
        columns["rlnMicrographName"] = [p.removeprefix(">") for p in _text(fields["location/micrograph_path"])]
    needed = ("location/micrograph_shape", "location/center_x_frac", "location/center_y_frac")
    if all(name in fields for name in needed):
        shape, x, y = (fields[name].astype(np.float64) for name in needed)
        columns["rlnCoordinateX"] = x * shape[:, 1]
        columns["rlnCoordinateY"] = (1.0 - y) * shape[:, 0]
    return columns


def _chosen_alignment(
    fields: dict[str, np.ndarray], wanted: Literal["2D", "3D"] | None
) -> tuple[str | None, tuple[str, ...]]:
    """Which alignment gives class, angles and shifts, and a note where others stand beside it."""
    if "alignments3D_multi/pose" in fields and "alignments3D/pose" not in fields:
        _take_likeliest(fields)
    present = [name for name in ("alignments3D", "alignments2D") if f"{name}/pose" in fields]
    if not present:
        return None, ()
    chosen = f"alignments{wanted}" if f"alignments{wanted}" in present else present[0]
    others = {name.split("/")[0] for name in fields if name.startswith("alignments")} - {chosen}
    if not others:
        return chosen, ()
    return chosen, (f"class, angles and shifts are those of {chosen}; not used: {', '.join(sorted(others))}",)


def _take_likeliest(fields: dict[str, np.ndarray]) -> None:
    """Of ``alignments3D_multi``, one pose for each of K classes, the likeliest class becomes ``alignments3D``."""
    multi = {name.split("/")[1]: values for name, values in fields.items() if name.startswith("alignments3D_multi/")}
    posterior, pose = multi.get("class_posterior"), multi["pose"]
    if posterior is None or posterior.ndim != 2 or pose.shape[1:] != (posterior.shape[1], 3):
        return
    best = np.nan_to_num(posterior, nan=-1.0).argmax(axis=1)
    every = np.arange(len(best))
    for name, components in (("pose", 3), ("shift", 2)):
        values = multi.get(name)
        if values is not None and values.shape[1:] == (posterior.shape[1], components):
            fields[f"alignments3D/{name}"] = values[every, best]
    fields["alignments3D/class"] = best
    pixel = multi.get("psize_A")
    if pixel is not None:
        fields["alignments3D/psize_A"] = pixel if pixel.ndim == 1 else pixel[every, best]


def _pose(fields: dict[str, np.ndarray], alignment: str) -> dict[str, np.ndarray]:
    """Class, angles and shifts of one alignment; NaN for a particle whose pose is no number."""
    columns: dict[str, np.ndarray] = {}
    pose = fields[f"{alignment}/pose"].astype(np.float64)
    if alignment == "alignments2D":
        columns["rlnAnglePsi"] = np.rad2deg(pose)
    else:
        rot, tilt, psi = _euler(pose).T
        columns |= {"rlnAngleRot": rot, "rlnAngleTilt": tilt, "rlnAnglePsi": psi}
    pixel = next((fields[f] for f in (f"{alignment}/psize_A", "blob/psize_A") if f in fields), None)
    if f"{alignment}/shift" in fields and pixel is not None:
        shift = fields[f"{alignment}/shift"].astype(np.float64) * pixel.astype(np.float64)[:, None]
        columns |= {"rlnOriginXAngst": shift[:, 0], "rlnOriginYAngst": shift[:, 1]}
    if f"{alignment}/class" in fields:
        columns["rlnClassNumber"] = fields[f"{alignment}/class"].astype(np.int64) + 1
    return columns


def _euler(pose: np.ndarray) -> np.ndarray:
    """(n, 3) rot, tilt, psi in degrees of rotation vectors: G = Rz(rot) Ry(tilt) Rz(psi), exact at tilt 0 and 180."""
    from scipy.spatial.transform import Rotation  # here: it takes a tenth of a second, which only .cs files need

    finite = np.isfinite(pose).all(axis=1)
    g = Rotation.from_rotvec(np.where(finite[:, None], pose, 0.0)).as_matrix()
    tilt = np.arctan2(np.hypot(g[:, 0, 2], g[:, 1, 2]), g[:, 2, 2])
    flat = np.hypot(g[:, 0, 2], g[:, 1, 2]) < 1e-9
    # Where the axis stands upright only rot + psi (or psi - rot) is defined; rot = 0 is the usual choice.
    rot = np.where(flat, 0.0, np.arctan2(g[:, 1, 2], g[:, 0, 2]))
    cos_rot, sin_rot = np.cos(rot), np.sin(rot)
    second_row = -sin_rot[:, None] * g[:, 0, :2] + cos_rot[:, None] * g[:, 1, :2]
    psi = np.arctan2(second_row[:, 0], second_row[:, 1])
    return np.where(finite[:, None], np.rad2deg(np.stack([rot, tilt, psi], axis=1)), np.nan)


def _optics(fields: dict[str, np.ndarray]) -> tuple[np.ndarray, Table]:
    """(group index from 0, optics table)."""
    sources = {
        "ctf/exp_group_id": ("ctf/exp_group_id", fields.get("ctf/exp_group_id")),
        "rlnVoltage": ("ctf/accel_kv", fields.get("ctf/accel_kv")),
        "rlnSphericalAberration": ("ctf/cs_mm", fields.get("ctf/cs_mm")),
        "rlnAmplitudeContrast": ("ctf/amp_contrast", fields.get("ctf/amp_contrast")),
        "rlnImagePixelSize": ("blob/psize_A", fields.get("blob/psize_A")),
        "rlnImageSize": ("blob/shape", _box(fields)),
    }
    known = {name: values for name, (_, values) in sources.items() if values is not None}
    count = len(fields["blob/idx"])
    rows = np.stack([v.astype(np.float64) for v in known.values()], axis=1) if known else np.zeros((count, 1))
    _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    numbers = np.arange(1, len(first) + 1)
    columns: dict[str, np.ndarray | list[str]] = {
        "rlnOpticsGroupName": [f"opticsGroup{i}" for i in numbers],
        "rlnOpticsGroup": numbers,
    }
    columns |= {name: values[first] for name, values in known.items()}
    columns["rlnImageDimensionality"] = np.full(len(first), 2)
    return group.reshape(-1), Table.from_arrays(columns)


def _box(fields: dict[str, np.ndarray]) -> np.ndarray | None:
    shape = fields.get("blob/shape")
    return None if shape is None else shape[:, 0].astype(np.int64)
