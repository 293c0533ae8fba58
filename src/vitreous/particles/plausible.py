"""What the numbers of a particle table can be, judged by value: optics, shifts and poses of every particle.

A value that no microscope has is nearly always a right one in another unit, or of another sign convention. It is
recognised here, with the likely unit, and the particle does not take part; that is kinder than an answer computed
from it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.usable import Fault

__all__ = [
    "POSE_COLUMNS",
    "SHIFT_COLUMNS",
    "implausible_optics",
    "implausible_poses",
    "numbers_of",
    "unused_aberrations",
]

NOT_FINITE = "with CTF parameters that are not finite"
DEFOCUS = ("rlnDefocusU", "rlnDefocusV")
MOST_DEFOCUS_A, LEAST_DEFOCUS_A = 3e5, -1000.0  # 30 micrometres under focus, 0.1 micrometres over focus
MICROMETRES = 30.0  # a defocus below it, and not 0, is one in micrometres
POSE_COLUMNS = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
SHIFT_COLUMNS = ("rlnOriginXAngst", "rlnOriginYAngst", "rlnOriginX", "rlnOriginY")
OPTICS_COLUMNS = (
    *DEFOCUS,
    "rlnDefocusAngle",
    "rlnPhaseShift",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    "rlnCtfBfactor",
)
UNUSED = {  # prefix of columns that are carried along -> what they would describe
    "rlnMagMat": "anisotropic magnification",
    "ctf/anisomag": "anisotropic magnification",
    "rlnBeamTilt": "beam tilt",
    "ctf/tilt_A": "beam tilt",
    "rlnOddZernike": "antisymmetrical aberrations",
    "ctf/trefoil_A": "trefoil",
    "rlnEvenZernike": "symmetrical aberrations",
    "ctf/tetra_A": "tetrafoil",
    "ctf/shift_A": "beam shift",
    "rlnCtfScalefactor": "scale of the CTF",
    "ctf/scale": "scale of the CTF",
    "ctf/bfactor": "B-factor of the CTF",
    "rlnHelicalTubeID": "helical priors",
}
NEUTRAL = {"rlnMagMat00": 1.0, "rlnMagMat11": 1.0, "rlnCtfScalefactor": 1.0, "ctf/scale": 1.0}
NEUTRAL_CS = {"ctf/anisomag/0": (0.0, 1.0), "ctf/anisomag/3": (0.0, 1.0)}  # with or without the identity


@dataclass(frozen=True, kw_only=True)
class _Range:
    """Values that a column can have, and what those beyond are likely to be: (from, to, kind, advice)."""

    column: str
    least: float
    most: float
    beyond: tuple[tuple[float, float, str, str], ...] = ()


_INF = float("inf")
_RANGES = (
    _Range(
        column="rlnVoltage",
        least=10.0,
        most=3000.0,
        beyond=(
            (-_INF, 10.0, "with a voltage that no microscope has", "expected kilovolts, such as 300"),
            (3000.0, 3.1e6, "with a voltage in volts", "expected kilovolts: divide by 1000"),
        ),
    ),
    _Range(
        column="rlnSphericalAberration",
        least=-1.0,
        most=20.0,
        beyond=(
            (100.0, 2e4, "with a Cs in micrometres", "expected millimetres, such as 2.7: divide by 1000"),
            (1e5, 2e8, "with a Cs in nanometres or Angstrom", "expected millimetres, such as 2.7"),
        ),
    ),
    _Range(
        column="rlnAmplitudeContrast",
        least=0.0,
        most=1.0,
        beyond=((1.0, 100.0, "with an amplitude contrast in per cent", "expected a fraction: divide by 100"),),
    ),
    _Range(
        column="rlnCtfBfactor",
        least=0.0,
        most=1e5,
        beyond=(
            (
                -_INF,
                0.0,
                "with a negative B-factor, under which the CTF grows",
                "expected the positive one of exp(-B k^2 / 4)",
            ),
        ),
    ),
    _Range(column="rlnPhaseShift", least=-720.0, most=720.0),
    _Range(column="rlnDefocusAngle", least=-1e5, most=1e5),
)


def numbers_of(particles: ParticleSet, name: str) -> np.ndarray | None:
    """(n,) of a column that particles or optics groups have; None where it is missing or not numbers throughout."""
    try:
        return particles.parameter(name)
    except ParticleFileError:
        return None


def implausible_optics(particles: ParticleSet) -> list[Fault]:
    """Particles whose CTF cannot be computed, or cannot be that of a microscope."""
    known = {name: values for name in OPTICS_COLUMNS if (values := numbers_of(particles, name)) is not None}
    finite = np.ones(len(particles), dtype=bool)
    for values in known.values():
        finite &= np.isfinite(values)
    faults = [Fault(kind=NOT_FINITE, rows=np.flatnonzero(~finite))]
    for rule in _RANGES:
        if rule.column in known:
            faults += _outside(rule, known[rule.column])
    for name in DEFOCUS:
        if name in known:
            faults += _wrong_defocus(name, known[name])
    return _first_reasons(faults, len(particles))


def implausible_poses(particles: ParticleSet) -> list[Fault]:
    """Particles whose shift or pose is no number, or lies outside the image."""
    side_A = particles.box_px * particles.pixel_size_A
    angle, shift = np.zeros(len(particles), dtype=bool), np.zeros(len(particles), dtype=bool)
    far = shift.copy()
    for name in POSE_COLUMNS:
        values = numbers_of(particles, name)
        angle |= False if values is None else ~np.isfinite(values)
    for name in SHIFT_COLUMNS:
        values = numbers_of(particles, name)
        if values is not None:
            shift |= ~np.isfinite(values)
            far |= np.abs(np.nan_to_num(values)) > (side_A if name.endswith("Angst") else particles.box_px)
    faults = [
        Fault(kind="with an angle that is not a number", rows=np.flatnonzero(angle)),
        Fault(kind="with a shift that is not a number", rows=np.flatnonzero(shift)),
        Fault(
            kind="with a shift that leads out of the image",
            rows=np.flatnonzero(far),
            advice="expected Angstrom in rlnOriginXAngst, pixels in rlnOriginX",
        ),
    ]
    return _first_reasons(faults, len(particles))


def unused_aberrations(particles: ParticleSet) -> list[str]:
    """What the file says of the microscope and nothing here uses, where it says more than nothing."""
    found: dict[str, list[str]] = {}
    for name in (*particles.optics.names, *particles.table.names):
        what = next((text for prefix, text in UNUSED.items() if name.startswith(prefix)), None)
        if what is not None and not _neutral(particles, name):
            found.setdefault(what, []).append(name)
    return [f"not used: {what} ({', '.join(dict.fromkeys(names))})" for what, names in found.items()]


def _neutral(particles: ParticleSet, name: str) -> bool:
    values = numbers_of(particles, name)
    if values is None:
        table = particles.table if name in particles.table else particles.optics
        return not any(set(token) - set(b"[]0., -+e") for token in table.columns[name].tokens())
    allowed = NEUTRAL_CS.get(name, (NEUTRAL.get(name, 0.0),))
    return bool(np.isin(np.nan_to_num(values), allowed).all())


def _outside(rule: _Range, values: np.ndarray) -> list[Fault]:
    outside = np.isfinite(values) & ~((values >= rule.least) & (values <= rule.most))
    faults = []
    for low, high, kind, advice in rule.beyond:
        here = outside & (values >= low) & (values <= high)
        faults.append(Fault(kind=f"{kind} ({rule.column})", rows=np.flatnonzero(here), advice=advice))
        outside &= ~here
    expected = f"expected {rule.least:g} to {rule.most:g}"
    faults.append(Fault(kind=f"with an impossible {rule.column}", rows=np.flatnonzero(outside), advice=expected))
    return faults


def _wrong_defocus(name: str, values: np.ndarray) -> list[Fault]:
    size = np.abs(values)
    small = (size > 0) & (size < MICROMETRES)
    # One particle may be that close to focus, at a phase plate; a set of them is in another unit.
    small &= np.median(size) < MICROMETRES
    return [
        Fault(
            kind=f"with a defocus in micrometres ({name})",
            rows=np.flatnonzero(small),
            advice="expected Angstrom, such as 15000: multiply by 10000",
        ),
        Fault(
            kind=f"with a negative defocus ({name})",
            rows=np.flatnonzero(values < LEAST_DEFOCUS_A),
            advice="underfocus is positive here: change the sign",
        ),
        Fault(
            kind=f"with a defocus of more than {MOST_DEFOCUS_A / 1e4:.0f} micrometres ({name})",
            rows=np.flatnonzero(values > MOST_DEFOCUS_A),
            advice="expected Angstrom, such as 15000",
        ),
    ]


def _first_reasons(faults: Iterable[Fault], n: int) -> list[Fault]:
    """The faults that have rows, each row under its first reason only."""
    seen, kept = np.zeros(n, dtype=bool), []
    for fault in faults:
        rows = fault.rows[~seen[fault.rows]]
        seen[rows] = True
        if len(rows) or fault.kind == NOT_FINITE:
            kept.append(Fault(kind=fault.kind, rows=rows, advice=fault.advice))
    return kept
