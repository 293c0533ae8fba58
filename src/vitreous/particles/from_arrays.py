"""Images in memory as a particle set, so that everything that takes particles takes arrays."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.optics import CTFParameters
from vitreous.particles.images import image_name, images_in_memory, name_of_images
from vitreous.particles.optics_groups import synthesise_optics
from vitreous.particles.particle_set import PHASE_FLIPPED, PREMULTIPLIED, ParticleSet
from vitreous.particles.table import Table
from vitreous.require import nearest

__all__ = ["from_arrays", "particles"]

IN_MEMORY = Path("particles-in-memory")
COLUMNS = {  # our names of CTF parameters -> RELION's columns
    "defocus_u_A": "rlnDefocusU",
    "defocus_v_A": "rlnDefocusV",
    "defocus_angle_deg": "rlnDefocusAngle",
    "voltage_kV": "rlnVoltage",
    "cs_mm": "rlnSphericalAberration",
    "amplitude_contrast": "rlnAmplitudeContrast",
    "phase_shift_deg": "rlnPhaseShift",
    "b_factor_A2": "rlnCtfBfactor",
    "phase_flipped": PHASE_FLIPPED,
    "premultiplied": PREMULTIPLIED,
}
NEEDED = ("defocus_u_A", "voltage_kV", "cs_mm", "amplitude_contrast")
OF_OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


def from_arrays(images: Any, pixel_size_A: float, ctf: CTFParameters | Mapping[str, Any] | None = None) -> ParticleSet:
    """n images in memory as particles: ``vt.particles(images, pixel_size_A=1.3, ctf={"defocus_A": defocus, ...})``.

    images: (n, L, L), NumPy or torch, real; they are held as float32, and not copied where they are that already.
    Particles are white on a darker ground, or say ``invert_contrast`` to the methods. ctf: a dict (or a data frame) of
    numbers or arrays (n,) by name: ``defocus_A`` (or ``defocus_u_A``, ``defocus_v_A``, ``defocus_angle_deg``),
    ``voltage_kV``, ``cs_mm``, ``amplitude_contrast``, and ``phase_shift_deg``, ``b_factor_A2``, ``phase_flipped``,
    ``premultiplied`` where there are such; RELION's names of columns will do, too. Underfocus is positive. None: the
    images have no CTF, or it was corrected. Further columns: :meth:`ParticleSet.with_columns`; a file:
    :meth:`ParticleSet.write`, which writes the images beside it.

    Raises ValueError for another shape, images without pixels, a pixel size that is no positive number, and columns of
    the CTF that are unknown, of another length, or missing; TypeError for what are no images and no columns.
    """
    stack = _as_stack(images)
    number = isinstance(pixel_size_A, int | float | np.number)
    if not (number and np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise ValueError(f"pixel_size_A: expected a positive number, in Angstrom, found {pixel_size_A!r}")
    count, pixel = len(stack), float(pixel_size_A)
    name = name_of_images(stack, pixel)
    named = {"rlnImageName": [image_name(i, name) for i in range(count)]}
    table = Table.from_arrays({**named, **_ctf_columns(ctf, count)})
    optics, group = synthesise_optics(table)
    known = {"rlnImagePixelSize": pixel, "rlnImageSize": stack.shape[-1], "rlnImageDimensionality": 2}
    return ParticleSet(
        path=IN_MEMORY,
        project=None,
        table=table.without(OF_OPTICS).with_columns({"rlnOpticsGroup": group + 1}),
        optics=optics.with_columns(known),
        optics_group=group,
        images=images_in_memory(stack, pixel, name),
        blocks={},
        layout=("optics", "particles"),
        block="particles",
    )


particles = from_arrays  # as `vitreous.particles`


def _as_stack(images: Any) -> np.ndarray:
    """float32 (n, L, L), contiguous."""
    if isinstance(images, str | Path):
        raise TypeError(f"images: expected an array, found the name {str(images)!r}; read_particles(name) reads a file")
    if hasattr(images, "detach"):  # a tensor of torch, perhaps on another device
        images = images.detach().cpu()
        images = (images.float() if images.is_floating_point() else images).numpy()  # NumPy has no bfloat16
    try:
        stack = np.asarray(images)
    except ValueError as error:
        raise ValueError(f"images: expected images of one shape (L, L) ({error})") from error
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2] or stack.size == 0:
        one = "; of one image give images[None]" if stack.ndim == 2 else ""
        raise ValueError(f"images: expected an array of shape (n, L, L), found {stack.shape}{one}")
    if stack.dtype.kind not in "iuf":
        raise ValueError(f"images: expected real numbers, found an array of type {stack.dtype}")
    return np.ascontiguousarray(stack, dtype=np.float32)


def _ctf_columns(ctf: CTFParameters | Mapping[str, Any] | None, count: int) -> dict[str, np.ndarray]:
    """RELION's columns, each (n,)."""
    if ctf is None:
        return {}
    if isinstance(ctf, CTFParameters):
        ctf = {f.name: getattr(ctf, f.name) for f in fields(ctf)}
    if not hasattr(ctf, "items"):
        raise TypeError(f"ctf: expected a dict of parameters by name, found {type(ctf).__name__}")
    given = {}
    for name, values in ctf.items():
        given[_column(name)] = _of_every_particle(name, values, count)
    if missing := [name for name in NEEDED if COLUMNS[name] not in given]:
        raise ValueError(
            f"ctf: {', '.join(missing)} missing; a CTF needs {', '.join(NEEDED)}, and without one leave ctf out"
        )
    return given


def _column(name: str) -> str:
    ours = {**COLUMNS, "defocus_A": "rlnDefocusU"}
    if name in ours:
        return ours[name]
    if name in COLUMNS.values():
        return name
    raise ValueError(f"ctf: there is no parameter {name!r}{nearest(name, [*ours, *COLUMNS.values()])}")


def _of_every_particle(name: str, values: Any, count: int) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (count,)):
        raise ValueError(f"ctf: {name}: expected one number, or one for each of {count} images; found {array.shape}")
    return np.broadcast_to(array, (count,)).copy()
