"""Settings of the methods of reconstruction."""

from dataclasses import dataclass

from vitreous.require import require_at_least, require_finite, require_not_negative, require_positive
from vitreous.rotations import symmetry_matrices

__all__ = ["ART", "Gridding", "LeastSquares", "ReconstructionSettings", "WeightedBackProjection"]


@dataclass(frozen=True, kw_only=True)
class Gridding:
    """Settings of direct Fourier inversion.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I, with the axes where RELION has them.
    particle_diameter_A
        Diameter of the sphere around the particle, in Angstrom: background outside it, and halves are compared within
        it. None: 7/8 of the box.
    ctf
        Whether images are corrected for the CTF that the file gives.
    invert_contrast
        For particles that are dark on light.
    normalise
        Whether the background of every image is brought to mean 0 and standard deviation 1.
    seed
        Of the half-sets, where the file has none (rlnRandomSubset).
    """

    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class WeightedBackProjection:
    """Settings of weighted back-projection.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I, with the axes where RELION has them.
    particle_diameter_A
        Diameter of the sphere around the particle, in Angstrom: background outside it, halves are compared within it,
        and the filter is that of an object of this size. None: 7/8 of the box.
    ctf
        Whether images are corrected for the CTF that the file gives.
    invert_contrast
        For particles that are dark on light.
    normalise
        Whether the background of every image is brought to mean 0 and standard deviation 1.
    seed
        Of the half-sets, where the file has none (rlnRandomSubset).
    """

    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Settings of regularised least squares inside a soft sphere, by conjugate gradients.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I, with the axes where RELION has them.
    particle_diameter_A
        Diameter of the sphere that the map is confined to, in Angstrom. None: 7/8 of the box.
    iterations
        Of conjugate gradients, from the map of direct Fourier inversion; the second changes noisy data hardly.
    ctf
        Whether images are corrected for the CTF that the file gives.
    invert_contrast
        For particles that are dark on light.
    normalise
        Whether the background of every image is brought to mean 0 and standard deviation 1.
    seed
        Of the half-sets, where the file has none (rlnRandomSubset).
    """

    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    iterations: int = 3
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, {"iterations": 1})
        _check(self)


@dataclass(frozen=True, kw_only=True)
class ART:
    """Settings of block ART with blobs.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I, with the axes where RELION has them.
    particle_diameter_A
        Diameter of the sphere that the map is confined to, in Angstrom. None: 7/8 of the box.
    sweeps
        How often all images are visited.
    blocks
        Into how many blocks the images are dealt; the map is corrected after each. 1 is SIRT.
    relaxation
        How much of a correction is taken, 0 to 2; less is smoother.
    ctf
        Whether the CTF that the file gives is part of the projections.
    invert_contrast
        For particles that are dark on light.
    normalise
        Whether the background of every image is brought to mean 0 and standard deviation 1.
    seed
        Of the blocks, and of the half-sets, where the file has none (rlnRandomSubset).
    """

    symmetry: str = "C1"
    particle_diameter_A: float | None = None
    sweeps: int = 2
    blocks: int = 1
    relaxation: float = 1.0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least(self, {"sweeps": 1, "blocks": 1})
        require_positive(self, ("relaxation",))
        if self.relaxation > 2:
            raise ValueError(f"relaxation: expected at most 2, beyond which it diverges; found {self.relaxation:g}")
        _check(self)


ReconstructionSettings = Gridding | WeightedBackProjection | LeastSquares | ART


def _check(settings: ReconstructionSettings) -> None:
    require_finite(settings)
    if settings.particle_diameter_A is not None:
        require_positive(settings, ("particle_diameter_A",))
    require_not_negative(settings, ("seed",))
    try:
        symmetry_matrices(settings.symmetry)
    except ValueError as error:
        raise ValueError(f"symmetry: {error}") from error
