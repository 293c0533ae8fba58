"""The CTF of one micrograph: spectrum, search, fit, and what is to be believed of it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vitreous.micrographs.ctf_band import Band
from vitreous.micrographs.ctf_model import Fit, fitted, without_rings
from vitreous.micrographs.ctf_picture import picture_of
from vitreous.micrographs.ctf_points import Points, points_of
from vitreous.micrographs.ctf_quality import (
    CTFProfile,
    correlation,
    fit_resolution_A,
    profile_of,
    unexplained,
    zeros_to,
)
from vitreous.micrographs.ctf_search import search
from vitreous.micrographs.ctf_settings import EstimateCTF, Microscope
from vitreous.micrographs.ctf_spectrum import Spectrum, averaged_spectrum, tile_side_px
from vitreous.optics import CTFParameters, electron_wavelength_A

__all__ = ["CTFEstimate", "estimate_ctf"]

CERTAIN = 15.0  # least gain in log likelihood by rings; in noise alone the search gains up to 12
RESOLVED, SHORTEST_A = 1.5, 500.0  # tiles: in displacements of the finest ring, and at least
FEW_ZEROS, MUCH_ASTIGMATISM, UNSURE_A = 3, 0.1, 200.0
FIRST_STEPS, BEHIND = 6, 100.0  # of all starts; those that are then further behind in log likelihood stop
BEYOND = 1.25  # pictures go to this times the frequency to which rings fit
BESIDE = (0.7, 1.2)  # of the ends of the range: further away a fit is not believed
SPLIT = 0.5  # greatest (U - V) / 2 in defoci, the same
UNEXPLAINED = 0.05  # of the gain by rings; CTFs of a wrong pixel size leave more
TIGHT = 0.7  # of a tile, that two displacements of rings are: finer ones soon cannot be seen
AT_END = 0.01  # of the least defocus: as near to an end of the range, it was hit


@dataclass(frozen=True, kw_only=True, eq=False)
class CTFEstimate:
    """The CTF of a micrograph. Where ``found`` is False the numbers are those of chance, and nothing is claimed."""

    found: bool
    defocus_u_A: float  # underfocus positive, never less than defocus_v_A
    defocus_v_A: float
    defocus_angle_deg: float  # direction of defocus_u from +x towards +y, above -90 to 90
    phase_shift_deg: float
    defocus_sd_A: float  # standard deviation of (U + V) / 2
    astigmatism_sd_A: float  # of U - V along its angle
    correlation: float  # of the spectrum over its background with the fit
    resolution_A: float  # to which rings fit; 0 where none do
    gain: float  # in log likelihood by rings
    unexplained: float  # log likelihood that a curve of another form could gain still
    warnings: tuple[str, ...]
    microscope: Microscope
    profile: CTFProfile
    picture: np.ndarray  # uint8 (n, n): measured spectrum on the left, fit (where found) on the right, origin at n // 2
    edge_per_A: float  # of the picture: a frequency
    ice: float  # power of rings of crystalline ice, which were left out, over that beside them
    tiles: int
    tile_A: float  # side of one
    hot_px: int

    @property
    def mean_A(self) -> float:
        """Mean defocus."""
        return 0.5 * (self.defocus_u_A + self.defocus_v_A)

    @property
    def astigmatism_A(self) -> float:
        """U - V."""
        return self.defocus_u_A - self.defocus_v_A

    def ctf(self) -> CTFParameters:
        """As parameters of one image. Raises ValueError where nothing was found."""
        if not self.found:
            raise ValueError("no rings were found in this micrograph, and nothing is claimed about its CTF")
        return CTFParameters(
            defocus_u_A=np.array([self.defocus_u_A]),
            defocus_v_A=np.array([self.defocus_v_A]),
            defocus_angle_deg=np.array([self.defocus_angle_deg]),
            voltage_kV=np.array([self.microscope.voltage_kV]),
            cs_mm=np.array([self.microscope.cs_mm]),
            amplitude_contrast=np.array([self.microscope.amplitude_contrast]),
            phase_shift_deg=np.array([self.phase_shift_deg]),
            b_factor_A2=np.zeros(1),
        )


def estimate_ctf(
    data: np.ndarray, pixel_size_A: float, microscope: Microscope, settings: EstimateCTF | None = None
) -> CTFEstimate:
    """The CTF of a micrograph (rows, columns).

    Raises ValueError for pixels that leave no band of resolutions, and for an image without contrast.
    """
    settings = settings or EstimateCTF()
    finest_A = settings.finest_A(pixel_size_A)
    band = Band(low_per_A=1.0 / settings.low_resolution_A, high_per_A=1.0 / finest_A)
    side = tile_side_px(data.shape, pixel_size_A, settings.tile_A or _tile_A(microscope, settings, band.high_per_A))
    spectrum = averaged_spectrum(data, pixel_size_A, side, band)
    points = points_of(spectrum, band)
    background, nothing = without_rings(points, band)
    starts = search(points, background, microscope, settings, band)
    fit = partial(fitted, points, microscope=microscope, band=band, phase=settings.phase_shift)
    tried = [fit(start, most_steps=FIRST_STEPS) for start in starts]
    ahead = max(attempt.log_likelihood for attempt in tried) - BEHIND
    fits = [fit(attempt.at) if attempt.log_likelihood >= ahead else attempt for attempt in tried]
    best = max(fits, key=lambda fit: (_sensible(fit, settings), fit.log_likelihood))
    return _judged(best, best.log_likelihood - nothing, spectrum, points, microscope, settings, band)


def _tile_A(microscope: Microscope, settings: EstimateCTF, finest_per_A: float) -> float:
    """Rings of 2 g(k) are waves in k of the length d(2 g / 2 pi) / dk, a displacement that has to fit into a tile."""
    wavelength = float(electron_wavelength_A(microscope.voltage_kV))
    return max(RESOLVED * _displacement_A(settings.highest_defocus_A, wavelength, finest_per_A), SHORTEST_A)


def _displacement_A(defocus_A: float, wavelength_A: float, k_per_A: float) -> float:
    return 2.0 * wavelength_A * defocus_A * k_per_A


def _sensible(fit: Fit, settings: EstimateCTF) -> bool:
    """Whether a fit has stayed near the range: out there any few waves of the background can be had as rings."""
    least, most = settings.lowest_defocus_A * BESIDE[0], settings.highest_defocus_A * BESIDE[1]
    return least < fit.at.mean_A < most and np.hypot(fit.at.along_A, fit.at.across_A) < SPLIT * fit.at.mean_A


def _judged(
    fit: Fit,
    gain: float,
    spectrum: Spectrum,
    points: Points,
    microscope: Microscope,
    settings: EstimateCTF,
    band: Band,
) -> CTFEstimate:
    at, profile = fit.at, profile_of(points, fit.at, microscope, band)
    half = float(np.hypot(at.along_A, at.across_A))
    resolution = fit_resolution_A(profile)
    rest = unexplained(profile, points.information)
    found = gain > max(CERTAIN, rest) and np.isfinite(resolution) and _sensible(fit, settings)
    edge = min(BEYOND / resolution, band.high_per_A) if found else band.high_per_A
    direction = np.array([at.along_A, at.across_A]) / half if half > 0 else np.array([1.0, 0.0])
    split = float(direction @ fit.covariance_A2[1:, 1:] @ direction)
    estimate = CTFEstimate(
        found=bool(found),
        defocus_u_A=at.mean_A + half,
        defocus_v_A=at.mean_A - half,
        defocus_angle_deg=float(np.rad2deg(0.5 * np.arctan2(at.across_A, at.along_A))),
        phase_shift_deg=at.phase_deg,
        defocus_sd_A=float(np.sqrt(max(fit.covariance_A2[0, 0], 0.0))),
        astigmatism_sd_A=2.0 * float(np.sqrt(max(split, 0.0))),
        correlation=correlation(points, at, microscope, band),
        resolution_A=resolution if found else 0.0,
        gain=float(gain),
        unexplained=rest,
        warnings=(),
        microscope=microscope,
        profile=profile,
        picture=picture_of(spectrum, at, microscope, band, edge, fit=bool(found)),
        edge_per_A=edge,
        ice=points.ice,
        tiles=spectrum.tiles,
        tile_A=spectrum.side_A,
        hot_px=spectrum.hot,
    )
    return _with_warnings(estimate, settings)


def _with_warnings(estimate: CTFEstimate, settings: EstimateCTF) -> CTFEstimate:
    if estimate.found:
        return replace(estimate, warnings=(*_doubts(estimate, settings), *_limits(estimate)))
    if estimate.unexplained > CERTAIN:
        words = "the spectrum has structure that no CTF within the range fits: are pixel size, voltage and range right?"
    else:
        words = (
            f"no rings stand out from chance: correlation {estimate.correlation:.3f} is what noise has, and nothing is "
            "claimed"
        )
    return replace(estimate, warnings=(words,))


def _doubts(estimate: CTFEstimate, settings: EstimateCTF) -> Iterator[str]:
    """What is unusual about the numbers."""
    low, high = settings.lowest_defocus_A, settings.highest_defocus_A
    near = max(estimate.defocus_sd_A, AT_END * low)
    if not low + near < estimate.mean_A < high - near:
        yield f"the defocus, {estimate.mean_A:.0f} A, is at the end of the range, {low:g} to {high:g} A"
    if estimate.astigmatism_A > MUCH_ASTIGMATISM * estimate.mean_A:
        share = estimate.astigmatism_A / estimate.mean_A
        yield f"astigmatism is {share:.0%} of the defocus, {estimate.astigmatism_A:.0f} A"
    if estimate.unexplained > max(CERTAIN, UNEXPLAINED * estimate.gain):
        share = estimate.unexplained / (estimate.unexplained + estimate.gain)
        yield f"{share:.0%} of what the spectrum says is not in the fit: are pixel size, voltage and Cs right?"
    if estimate.defocus_sd_A > UNSURE_A:
        yield f"the standard deviation of the defocus is {estimate.defocus_sd_A:.0f} A"


def _limits(estimate: CTFEstimate) -> Iterator[str]:
    """What keeps rings from being seen."""
    if estimate.ice:
        yield f"rings of crystalline ice near 3.7 A, {estimate.ice:.0%} above the spectrum, were left out"
    wavelength = float(electron_wavelength_A(estimate.microscope.voltage_kV))
    if 2.0 * _displacement_A(estimate.mean_A, wavelength, 1.0 / estimate.resolution_A) > TIGHT * estimate.tile_A:
        fine = f"rings at {estimate.resolution_A:.1f} A are nearly too fine"
        yield f"{fine} for tiles of {estimate.tile_A:.0f} A (tile_A)"
    zeros = zeros_to(estimate.profile, estimate.resolution_A)
    if zeros < FEW_ZEROS:
        yield f"rings fit to {estimate.resolution_A:.1f} A only, {zeros} zeros of the CTF"
