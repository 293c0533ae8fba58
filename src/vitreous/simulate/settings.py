"""What a simulation is made of: one frozen value."""

from dataclasses import dataclass, fields

from vitreous.require import (
    require,
    require_at_least,
    require_finite,
    require_not_negative,
    require_one_of,
    require_positive,
)

__all__ = ["JUNK_KINDS", "SimulateSettings"]

JUNK_KINDS = ("empty", "off-centre", "neighbours", "aggregates")


@dataclass(frozen=True, kw_only=True)
class SimulateSettings:
    """Settings of a simulated set of particles. Raises ValueError for values that make no sense.

    SNR: the mean over particles of the variance over all pixels of the clean image (projected, shifted, with its
    CTF), divided by the variance of the noise.
    """

    source: tuple[str, ...] = ("ribosome-like",)  # phantoms, maps (.mrc) or models (.pdb, .cif; also .gz)
    proportions: tuple[float, ...] = ()  # of the sources; empty: equal
    resolution_A: float = 0.0  # of densities made from models; 0: two pixels
    particles: int = 5000
    box_px: int = 64
    pixel_size_A: float = 5.0
    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    defocus_min_A: float = 10000.0  # underfocus
    defocus_max_A: float = 25000.0
    defocus_groups: int = 7  # micrographs; their defoci are evenly spaced
    astigmatism_A: float = 0.0  # defocus U - V, in a random direction for every micrograph
    phase_shift_deg: float = 0.0
    b_factor_A2: float = 0.0
    shift_max_px: float = 2.0  # uniform in x and y; ignored when shift_sd_px is given
    shift_sd_px: float = 0.0  # Gaussian in x and y
    orientations: str = "uniform"  # or "preferred"
    preferred_axes: int = 3  # views that the particle prefers, at random
    kappa: float = 20.0  # von Mises-Fisher concentration about them
    snr: float = 0.1
    noise: str = "white"  # or "coloured": stronger at low frequency
    background_radius_px: float = 0.0  # normalisation: background lies beyond; 0: 15/32 of the box
    junk_fraction: float = 0.0
    junk_kinds: tuple[str, ...] = JUNK_KINDS  # drawn with equal probability
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        positive = ("particles", "box_px", "pixel_size_A", "voltage_kV", "defocus_groups", "preferred_axes", "snr")
        require_positive(self, positive)
        others = ("shift_", "cs_", "b_factor", "astigmatism", "resolution", "background", "kappa")
        require_not_negative(self, [f.name for f in fields(self) if f.name.startswith(others)])
        require_at_least(self, {"box_px": 8})
        require(self, "defocus_min_A", self.defocus_min_A <= self.defocus_max_A, "at most defocus_max_A")
        require(self, "amplitude_contrast", 0 <= self.amplitude_contrast <= 1, "a number from 0 to 1")
        require(self, "junk_fraction", 0 <= self.junk_fraction <= 1, "a number from 0 to 1")
        require_one_of(self, "orientations", ("uniform", "preferred"))
        require_one_of(self, "noise", ("white", "coloured"))
        require(self, "source", len(self.source) > 0, "at least one phantom, map or model")
        known = len(self.junk_kinds) > 0 and set(self.junk_kinds) <= set(JUNK_KINDS)
        require(self, "junk_kinds", known, f"some of {', '.join(JUNK_KINDS)}")
        fits = len(self.proportions) in (0, len(self.source))
        usable = not self.proportions or (min(self.proportions) >= 0 and sum(self.proportions) > 0)
        require(self, "proportions", fits and usable, f"{len(self.source)} numbers, one per source")
