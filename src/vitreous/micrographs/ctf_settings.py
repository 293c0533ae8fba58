"""What can be said about the estimation of the CTF, and the microscope that it needs to know."""

from dataclasses import dataclass

from vitreous.require import require, require_at_least, require_finite, require_not_negative, require_positive

__all__ = ["EstimateCTF", "Microscope"]

NYQUIST_MARGIN = 1.03  # the finest detail is this times two pixels: at the edge itself the filter of binning shows
FINEST_A = 3.0
HALF_TURN = 180.0
VOLTAGES_KV, LARGEST_CS_MM = (20.0, 3000.0), 100.0  # of microscopes; else units were mixed up


@dataclass(frozen=True, kw_only=True)
class EstimateCTF:
    """Settings of the estimation of the CTF.

    Parameters
    ----------
    lowest_defocus_A
        Least defocus that is looked for, in Angstrom; underfocus is positive.
    highest_defocus_A
        Greatest defocus that is looked for, in Angstrom.
    low_resolution_A
        Coarsest detail that is looked at, in Angstrom. Coarser, ice and the shape of particles rule the spectrum.
    high_resolution_A
        Finest detail that is looked at, in Angstrom. None: 3, or 1.03 times two pixels where that is coarser.
    tile_A
        Side of the tiles whose spectra are averaged, in Angstrom. None: large enough to resolve the rings of the
        greatest defocus, and at most 0.4 of the micrograph.
    phase_shift
        Look for a phase shift, too, between 0 and 180 degrees, as a phase plate makes it.
    phase_shift_deg
        The phase shift in degrees, where it is known.
    pictures
        Number of micrographs whose spectra the report shows, from the worst to the best.
    """

    lowest_defocus_A: float = 3000.0
    highest_defocus_A: float = 50000.0
    low_resolution_A: float = 30.0
    high_resolution_A: float | None = None
    tile_A: float | None = None
    phase_shift: bool = False
    phase_shift_deg: float = 0.0
    pictures: int = 24

    def __post_init__(self) -> None:
        require_finite(self)
        require_positive(self, ("lowest_defocus_A", "low_resolution_A", "high_resolution_A", "tile_A"))
        require_not_negative(self, ("phase_shift_deg",))
        require_at_least(self, {"pictures": 0})
        above = self.highest_defocus_A > self.lowest_defocus_A
        require(self, "highest_defocus_A", above, f"more than lowest_defocus_A, {self.lowest_defocus_A:g}")
        finer = self.high_resolution_A is None or self.high_resolution_A < self.low_resolution_A
        require(self, "high_resolution_A", finer, f"less than low_resolution_A, {self.low_resolution_A:g}")
        require(self, "phase_shift_deg", self.phase_shift_deg <= HALF_TURN, "at most 180")
        if self.phase_shift and self.phase_shift_deg:
            raise ValueError("phase_shift looks for what phase_shift_deg states: give one of them")

    def finest_A(self, pixel_size_A: float) -> float:
        """The finest detail that is looked at in a micrograph. Raises ValueError where its pixels leave no band."""
        nyquist_A = 2.0 * pixel_size_A
        finest = max(FINEST_A, NYQUIST_MARGIN * nyquist_A) if self.high_resolution_A is None else self.high_resolution_A
        if finest < nyquist_A or finest >= self.low_resolution_A:
            raise ValueError(
                f"detail from {self.low_resolution_A:g} to {finest:g} A cannot be looked at with pixels of "
                f"{pixel_size_A:g} A, which show it to {nyquist_A:g} A: is the pixel size right?"
            )
        return finest


@dataclass(frozen=True, kw_only=True)
class Microscope:
    """What the CTF depends on beside the defocus."""

    voltage_kV: float
    cs_mm: float
    amplitude_contrast: float = 0.1

    def __post_init__(self) -> None:
        require_finite(self)
        low, high = VOLTAGES_KV
        require(self, "voltage_kV", low <= self.voltage_kV <= high, f"kilovolts, from {low:g} to {high:g}")
        require(self, "cs_mm", 0.0 <= self.cs_mm <= LARGEST_CS_MM, f"millimetres, from 0 to {LARGEST_CS_MM:g}")
        require(self, "amplitude_contrast", 0.0 <= self.amplitude_contrast < 1.0, "a fraction from 0 to below 1")
