"""Particle files made from arrays."""

from pathlib import Path

import numpy as np

from vitreous.optics import CTFParameters
from vitreous.particles import ParticleSet, Table, image_name, read_particles, write_mrc_stack, write_star


def particle_file(
    folder: Path,
    images: np.ndarray,
    pixel_size_A: float,
    ctf: CTFParameters | None = None,
    origin_px: np.ndarray | None = None,
    **columns,
) -> ParticleSet:
    """``p.star`` and ``p.mrcs`` in a (new) folder; all optics the same but for the defocus."""
    folder.mkdir(parents=True, exist_ok=True)
    n, box = images.shape[:2]
    write_mrc_stack(folder / "p.mrcs", images, pixel_size_A)
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [pixel_size_A], "rlnImageSize": [box]}
    table = {"rlnImageName": [image_name(i, "p.mrcs") for i in range(n)], "rlnOpticsGroup": [1] * n}
    if ctf is not None:
        optics |= {"rlnVoltage": ctf.voltage_kV[:1], "rlnSphericalAberration": ctf.cs_mm[:1]}
        optics |= {"rlnAmplitudeContrast": ctf.amplitude_contrast[:1]}
        table |= {"rlnDefocusU": ctf.defocus_u_A, "rlnDefocusV": ctf.defocus_v_A}
        table |= {"rlnDefocusAngle": ctf.defocus_angle_deg}
    if origin_px is not None:
        table |= {f"rlnOrigin{axis}Angst": origin_px[:, i] * pixel_size_A for i, axis in enumerate("XY")}
    blocks = {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(table | columns)}
    write_star(folder / "p.star", blocks)
    return read_particles(folder / "p.star", project=folder)
