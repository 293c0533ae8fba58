"""The STAR tables that RELION's programs expect beside the class averages.

Names, block structure and units follow the files that RELION 3.1 writes and reads; columns of our own begin with
``vtr`` and are ignored by RELION. Spectra are converted to RELION's scale: transforms divided by L^2, and the power of
the real or the imaginary part alone. White noise of sd 1, whose ``Class2DResult.noise_power`` is 1, has 1 / (2 L^2).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from vitreous.averages.result import Class2DResult
from vitreous.jobs.results.class2d import NO_RESOLUTION_A
from vitreous.particles import StarFile, Table

__all__ = [
    "Groups",
    "SearchSettings",
    "Snapshot",
    "model_blocks",
    "noise_groups",
    "optimiser_blocks",
    "particle_columns",
    "sampling_blocks",
    "snapshot_of",
]


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """The settings of a classification that RELION keeps in its files."""

    iterations: int
    seed: int
    regularisation: float  # rlnTau2FudgeFactor
    psi_step_deg: float
    offset_range_A: float
    offset_step_A: float


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What the files show of a classification at any moment: K classes of box L, n particles."""

    pixel_size_A: float
    particle_diameter_A: float
    averages: np.ndarray  # (K, L, L)
    distribution: np.ndarray  # (K,)
    resolution_A: np.ndarray  # (K,), inf where nothing was found
    class_number: np.ndarray  # (n,) from 1; 0: refused, or not seen yet
    psi_deg: np.ndarray  # (n,)
    origin_x_A: np.ndarray  # (n,)
    origin_y_A: np.ndarray  # (n,)
    max_probability: np.ndarray  # (n,)
    log_likelihood: np.ndarray  # (n,)
    noise_power: np.ndarray  # (groups, F)
    noise_group: np.ndarray  # (n,)
    measured: Class2DResult | None = None  # at the end: with what only the final pass measures


def snapshot_of(result: Class2DResult) -> Snapshot:
    """The end of a classification."""
    shared = {f.name: getattr(result, f.name) for f in fields(Snapshot) if f.name != "measured"}
    return Snapshot(**shared, measured=result)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of particles with a noise spectrum each. RELION tells them apart by ``rlnGroupName`` alone."""

    names: tuple[str, ...]
    member: np.ndarray  # (n,) index into names
    noise_power: np.ndarray  # (groups, F)


def noise_groups(shown: Snapshot, particles: Table) -> Groups:
    """The groups that the particles name already, in order of appearance; otherwise the groups of the noise model."""
    if "rlnGroupName" in particles:
        column = particles.text("rlnGroupName").astype(str)
        names, first, member = np.unique(column, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        names, member = names[np.argsort(first)], rank[member]
    else:
        names = np.array([f"group_{g + 1:03d}" for g in range(len(shown.noise_power))])
        member = shown.noise_group
    power = [shown.noise_power[shown.noise_group[member == g]] for g in range(len(names))]
    mean = shown.noise_power.mean(axis=0)
    spectra = np.array([rows.mean(axis=0) if len(rows) else mean for rows in power])
    return Groups(names=tuple(str(name) for name in names), member=member, noise_power=spectra)


def particle_columns(shown: Snapshot, groups: Groups) -> dict[str, np.ndarray]:
    """Columns (n,) that a classification adds to the particles or replaces; ours, known at the end, come last."""
    measured, none = shown.measured, np.zeros(len(shown.class_number), np.int64)
    relions = {
        "rlnClassNumber": shown.class_number.astype(np.int64),
        "rlnAnglePsi": _rounded(shown.psi_deg, 6),
        "rlnOriginXAngst": _rounded(shown.origin_x_A, 6),
        "rlnOriginYAngst": _rounded(shown.origin_y_A, 6),
        "rlnNormCorrection": np.ones(len(shown.class_number)),
        "rlnLogLikeliContribution": _rounded(shown.log_likelihood, 6),
        "rlnMaxValueProbDistribution": _rounded(shown.max_probability, 8),
        "rlnNrOfSignificantSamples": none if measured is None else measured.significant.astype(np.int64),
        "rlnGroupNumber": groups.member.astype(np.int64) + 1,
        "rlnGroupName": np.array(groups.names)[groups.member],
    }
    if measured is None:
        return relions
    return {
        **relions,
        "vtrEntropy": _rounded(measured.entropy, 6),
        "vtrEffectiveClasses": _rounded(measured.effective_classes, 6),
        "vtrWeight": measured.weight.astype(np.float64),
    }


def model_blocks(
    shown: Snapshot, references: list[str], search: SearchSettings, *, groups: Groups, optics_groups: int
) -> StarFile:
    """``_model.star``: figures of the whole, of every class (with its spectra), of every noise group.

    ``references`` are the K entries ``000001@folder/run_classes.mrcs``. ``model_group_#`` (RELION 3.1) has one
    spectrum per group; ``model_optics_group_#`` (RELION 4 and 5) their mean over particles.
    """
    sizes = np.bincount(groups.member, minlength=len(groups.names))
    general = _general(shown, search) | {"rlnNrGroups": len(groups.names), "rlnNrOpticsGroups": optics_groups}
    blocks = {"model_general": _pairs(general), "model_classes": _classes(shown, references)}
    for k in range(len(shown.averages)):
        blocks[f"model_class_{k + 1}"] = _class_spectra(shown, k)
    blocks["model_groups"] = Table.from_arrays(
        {
            "rlnGroupNumber": np.arange(1, len(sizes) + 1),
            "rlnGroupName": list(groups.names),
            "rlnGroupNrParticles": sizes,
            "rlnGroupScaleCorrection": np.ones(len(sizes)),
        }
    )
    mean = np.average(groups.noise_power, axis=0, weights=np.maximum(sizes, 1e-9))
    for g, power in enumerate(groups.noise_power):
        blocks[f"model_group_{g + 1}"] = _noise_spectrum(shown, power)
    for g in range(optics_groups):
        blocks[f"model_optics_group_{g + 1}"] = _noise_spectrum(shown, mean)
    return blocks


def _general(shown: Snapshot, search: SearchSettings) -> dict[str, Any]:
    used = shown.class_number > 0
    best = float(np.min(shown.resolution_A))
    offsets = np.concatenate([shown.origin_x_A[used], shown.origin_y_A[used]])
    return {
        "rlnReferenceDimensionality": 2,
        "rlnDataDimensionality": 2,
        "rlnOriginalImageSize": shown.averages.shape[-1],
        "rlnCurrentResolution": best if np.isfinite(best) else NO_RESOLUTION_A,
        "rlnCurrentImageSize": shown.averages.shape[-1],
        "rlnPaddingFactor": 2.0,
        "rlnIsHelix": 0,
        "rlnFourierSpaceInterpolator": 1,
        "rlnMinRadiusNnInterpolation": 10,
        "rlnPixelSize": shown.pixel_size_A,
        "rlnNrClasses": len(shown.averages),
        "rlnNrBodies": 1,
        "rlnTau2FudgeFactor": search.regularisation,
        "rlnNormCorrectionAverage": 1.0,
        "rlnSigmaOffsetsAngst": float(np.sqrt(np.mean(offsets**2))) if used.any() else 0.0,
        "rlnOrientationalPriorMode": 0,
        "rlnSigmaPriorRotAngle": 0.0,
        "rlnSigmaPriorTiltAngle": 0.0,
        "rlnSigmaPriorPsiAngle": 0.0,
        "rlnLogLikelihood": float(shown.log_likelihood[used].sum()),
        "rlnAveragePmax": float(shown.max_probability[used].mean()) if used.any() else 0.0,
        **({} if shown.measured is None else {"vtrFoundSignal": int(shown.measured.found_signal)}),
    }


def _classes(shown: Snapshot, references: list[str]) -> Table:
    count, measured = len(shown.averages), shown.measured
    population = np.bincount(shown.class_number, minlength=count + 1)[1:]
    finite = np.isfinite(shown.resolution_A)
    return Table.from_arrays(
        {
            "rlnReferenceImage": references,
            "rlnClassDistribution": _rounded(shown.distribution, 8),
            "rlnAccuracyRotations": np.full(count, 999.0),
            "rlnAccuracyTranslationsAngst": np.full(count, 999.0),
            "rlnEstimatedResolution": _rounded(np.where(finite, shown.resolution_A, NO_RESOLUTION_A), 6),
            "rlnOverallFourierCompleteness": np.ones(count),
            "rlnClassPriorOffsetX": np.zeros(count),
            "rlnClassPriorOffsetY": np.zeros(count),
            "vtrPopulation": population.astype(np.int64),
            **({} if measured is None else {"vtrEffectiveNumber": _rounded(measured.effective_number, 3)}),
        }
    )


def _class_spectra(shown: Snapshot, k: int) -> Table:
    power = _radial_power(shown.averages[k])
    if shown.measured is None:
        ssnr = frc = np.zeros_like(power)
    else:
        ssnr = np.maximum(np.nan_to_num(shown.measured.ssnr[k].astype(np.float64)), 0.0)
        frc = np.nan_to_num(shown.measured.frc[k])
    return Table.from_arrays(
        {
            **_shells(shown),
            "rlnSsnrMap": _rounded(ssnr, 6),
            "rlnGoldStandardFsc": _rounded(frc, 6),
            "rlnFourierCompleteness": np.ones(len(ssnr)),
            "rlnReferenceSigma2": power / np.maximum(ssnr, 1e-3),
            "rlnReferenceTau2": power,
        }
    )


def _noise_spectrum(shown: Snapshot, power: np.ndarray) -> Table:
    box = shown.averages.shape[-1]
    return Table.from_arrays({**_shells(shown), "rlnSigma2Noise": power.astype(np.float64) / (2 * box**2)})


def _shells(shown: Snapshot) -> dict[str, np.ndarray]:
    box = shown.averages.shape[-1]
    index = np.arange(box // 2 + 1)
    frequency = index / (box * shown.pixel_size_A)
    resolution = np.divide(1.0, frequency, out=np.full(len(index), NO_RESOLUTION_A), where=frequency > 0)
    return {
        "rlnSpectralIndex": index,
        "rlnResolution": _rounded(frequency, 8),
        "rlnAngstromResolution": _rounded(resolution, 6),
    }


def _radial_power(image: np.ndarray) -> np.ndarray:
    """Mean power per Fourier shell on RELION's scale, (L // 2 + 1,)."""
    box = len(image)
    axis = np.fft.fftfreq(box) * box
    shell = np.round(np.hypot(axis[:, None], axis[None, :])).astype(int).ravel()
    power = np.abs(np.fft.fft2(image.astype(np.float64)) / box**2).ravel() ** 2 / 2
    total = np.bincount(shell, power)[: box // 2 + 1]
    return total / np.bincount(shell)[: box // 2 + 1]


def sampling_blocks(search: SearchSettings) -> StarFile:
    """``_sampling.star``: in-plane angles and shifts."""
    return {
        "sampling_general": _pairs(
            {
                "rlnIs3DSampling": 0,
                "rlnIs3DTranslationalSampling": 0,
                "rlnPsiStep": search.psi_step_deg,
                "rlnOffsetRange": search.offset_range_A,
                "rlnOffsetStep": search.offset_step_A,
                "rlnHelicalOffsetStep": -1.0,
                "rlnSamplingPerturbInstance": 0.0,
                "rlnSamplingPerturbFactor": 0.5,
                "rlnHealpixOrderOriginal": 2,
                "rlnPsiStepOriginal": search.psi_step_deg,
                "rlnOffsetRangeOriginal": search.offset_range_A,
                "rlnOffsetStepOriginal": search.offset_step_A,
            }
        )
    }


def optimiser_blocks(root: str, iteration: int, shown: Snapshot, search: SearchSettings) -> StarFile:
    """``_optimiser.star``, which points at the other files ``<root>_model.star`` and so on."""
    files = {
        "rlnOutputRootName": root.removesuffix(f"_it{iteration:03d}"),
        "rlnModelStarFile": f"{root}_model.star",
        "rlnExperimentalDataStarFile": f"{root}_data.star",
        "rlnOrientSamplingStarFile": f"{root}_sampling.star",
        "rlnCurrentIteration": iteration,
        "rlnNumberOfIterations": search.iterations,
        "rlnRandomSeed": search.seed,
        "rlnParticleDiameter": shown.particle_diameter_A,
    }
    return {"optimiser_general": _pairs({**files, **OPTIMISER_CONSTANTS})}


# What RELION insists on finding, with the values of a plain 2D classification.
OPTIMISER_CONSTANTS: Mapping[str, Any] = {
    "rlnDoSplitRandomHalves": 0,
    "rlnJoinHalvesUntilThisResolution": -1.0,
    "rlnAdaptiveOversampleOrder": 1,
    "rlnAdaptiveOversampleFraction": 0.999,
    "rlnWidthMaskEdge": 5,
    "rlnDoZeroMask": 1,
    "rlnDoSolventFlattening": 1,
    "rlnSolventMaskName": "None",
    "rlnSolventMask2Name": "None",
    "rlnTauSpectrumName": "None",
    "rlnMaximumCoarseImageSize": -1,
    "rlnHighresLimitExpectation": -1.0,
    "rlnLowresLimitExpectation": -1.0,
    "rlnIncrementImageSize": 10,
    "rlnDoMapEstimation": 1,
    "rlnDoAutoRefine": 0,
    "rlnAutoLocalSearchesHealpixOrder": 4,
    "rlnNumberOfIterWithoutResolutionGain": 0,
    "rlnBestResolutionThusFar": 0.0,
    "rlnNumberOfIterWithoutChangingAssignments": 0,
    "rlnDoSkipAlign": 0,
    "rlnDoSkipRotate": 0,
    "rlnOverallAccuracyRotations": 999.0,
    "rlnOverallAccuracyTranslationsAngst": 999.0,
    "rlnChangesOptimalOrientations": 999.0,
    "rlnChangesOptimalOffsets": 999.0,
    "rlnChangesOptimalClasses": 1.0,
    "rlnSmallestChangesOrientations": 999.0,
    "rlnSmallestChangesOffsets": 999.0,
    "rlnSmallestChangesClasses": 9999999,
    "rlnHasConverged": 0,
    "rlnHasHighFscAtResolLimit": 0,
    "rlnHasLargeSizeIncreaseIterationsAgo": 0,
    "rlnDoCorrectNorm": 1,
    "rlnDoCorrectScale": 1,
    "rlnDoCorrectCtf": 1,
    "rlnDoIgnoreCtfUntilFirstPeak": 0,
    "rlnCtfDataArePhaseFlipped": 0,
    "rlnDoOnlyFlipCtfPhases": 0,
    "rlnRefsAreCtfCorrected": 1,
    "rlnFixSigmaNoiseEstimates": 0,
    "rlnFixSigmaOffsetEstimates": 0,
    "rlnMaxNumberOfPooledParticles": 1,
}


def _pairs(values: Mapping[str, Any]) -> Table:
    return Table.from_arrays({name: [value] for name, value in values.items()}, loop=False)


def _rounded(values: np.ndarray, decimals: int) -> np.ndarray:
    return np.round(np.asarray(values, dtype=np.float64), decimals)
