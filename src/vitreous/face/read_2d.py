"""Folders of two-dimensional jobs back to what their methods returned, within the digits of the files."""

from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.align import AlignResult
from vitreous.averages.deconvolve import DeconvolveResult
from vitreous.averages.denoise import DenoiseModel, DenoiseResult
from vitreous.averages.isac import ISACResult
from vitreous.averages.neighbours import NeighboursResult
from vitreous.averages.result import Class2DResult
from vitreous.averages.stability import StabilityResult
from vitreous.jobs.manifest import Manifest
from vitreous.jobs.results.align import open_align_folder
from vitreous.jobs.results.class2d import open_class2d_folder
from vitreous.jobs.results.denoise import read_model
from vitreous.jobs.results.isac import open_isac_folder
from vitreous.jobs.results.neighbours import open_neighbours_folder
from vitreous.jobs.results.project import ProjectFolder, read_projections
from vitreous.jobs.results.stability import open_stability_folder
from vitreous.matching import Alignments
from vitreous.particles import Table, read_particles, read_stack, read_star

__all__ = [
    "read_aligned",
    "read_classes",
    "read_deconvolved",
    "read_denoised",
    "read_isac",
    "read_neighbours",
    "read_projected",
    "read_stability",
]

SHOWN = 100  # projections that are read


def read_classes(folder: Path, manifest: Manifest) -> Class2DResult:
    """Of class2d and mra. Spectra below zero are zero in the files."""
    found = open_class2d_folder(folder)
    data, general, classes = found.data["particles"], found.general, found.classes
    count, box = len(found.averages), found.averages.shape[-1]
    spectra = [found.model[f"model_class_{k + 1}"] for k in range(count)]
    groups = len(found.model["model_groups"])
    noise = [found.model[f"model_group_{g + 1}"].numbers("rlnSigma2Noise") * 2 * box**2 for g in range(groups)]
    halves = np.full((count, 2, box, box), np.nan, np.float32) if found.halves is None else found.halves
    return Class2DResult(
        pixel_size_A=float(general.numbers("rlnPixelSize")[0]),
        particle_diameter_A=float(manifest.summary["particle_diameter_used_A"]),
        averages=found.averages,
        averages_half=np.swapaxes(halves, 0, 1),
        frc=np.stack([table.numbers("rlnGoldStandardFsc") for table in spectra]),
        ssnr=np.stack([table.numbers("rlnSsnrMap") for table in spectra]),
        resolution_A=found.resolution_A,
        population=found.population,
        distribution=classes.numbers("rlnClassDistribution"),
        effective_number=classes.numbers("vtrEffectiveNumber"),
        class_number=found.class_number,
        psi_deg=data.numbers("rlnAnglePsi"),
        origin_x_A=data.numbers("rlnOriginXAngst"),
        origin_y_A=data.numbers("rlnOriginYAngst"),
        weight=data.numbers("vtrWeight"),
        max_probability=data.numbers("rlnMaxValueProbDistribution"),
        entropy=data.numbers("vtrEntropy"),
        effective_classes=data.numbers("vtrEffectiveClasses"),
        significant=data.numbers("rlnNrOfSignificantSamples").astype(np.int64),
        log_likelihood=data.numbers("rlnLogLikeliContribution"),
        noise_power=np.stack(noise),
        noise_group=data.numbers("rlnGroupNumber").astype(np.int64) - 1,
        found_signal=bool(general.numbers("vtrFoundSignal")[0]),
        messages=list(manifest.messages),
    )


def read_isac(folder: Path, manifest: Manifest) -> ISACResult:
    """Curves are NaN in folders of versions that did not write them."""
    found, star, data = open_isac_folder(folder), read_star(folder / "isac_classes.star"), _data(folder, "isac_data")
    table, (count, box) = star["classes"], found.averages.shape[:2]
    frc = np.full((count, box // 2 + 1), np.nan)
    if "frc" in star:
        frc = star["frc"].numbers("rlnFourierShellCorrelation").reshape(count, -1)
    halves = read_stack(folder / "isac_class_halves.mrcs") if count else found.averages
    return ISACResult(
        pixel_size_A=float(manifest.summary["pixel_size_A"]),
        particle_diameter_A=float(manifest.summary["particle_diameter_used_A"]),
        averages=found.averages,
        halves=halves.reshape(count, -1, box, found.averages.shape[2]).swapaxes(0, 1),
        frc=frc,
        resolution_A=found.resolution_A,
        population=found.population,
        generation=found.generation,
        error_A=found.error_A,
        mirror_share=table.numbers("vtrMirrorStableShare"),
        common=table.numbers("vtrCommonMembers").astype(np.int64),
        alignments=_alignments(folder / "isac_data.star"),
        particle_error_A=data.numbers("vtrPixelErrorAngst"),
        outlier=data.numbers("vtrOutlier") > 0,
        messages=tuple(manifest.messages),
    )


def read_aligned(folder: Path, manifest: Manifest) -> AlignResult:
    """Of align."""
    found, data = open_align_folder(folder), _data(folder, "aligned")
    resolution = manifest.summary["resolution_A"]
    return AlignResult(
        pixel_size_A=float(manifest.summary["pixel_size_A"]),
        particle_diameter_A=float(manifest.summary["particle_diameter_used_A"]),
        average=found.average,
        halves=found.halves,
        frc=found.frc,
        resolution_A=float("inf") if resolution is None else float(resolution),
        alignments=_alignments(folder / "aligned.star"),
        pixel_error_A=_nan_below_zero(data.numbers("vtrPixelErrorAngst")),
        mirror_stable=data.numbers("vtrMirrorStable") > 0,
        start_evidence=found.start_evidence,
        start_error_A=_nan_below_zero(found.start_error_A),
        start_averages=found.starts,
        found_signal=bool(manifest.summary["found_signal"]),
        messages=tuple(manifest.messages),
    )


def read_stability(folder: Path, manifest: Manifest) -> StabilityResult:
    """The alignments of the test are not in the files: all are unknown."""
    found, data = open_stability_folder(folder), _data(folder, "stability_data")
    return StabilityResult(
        pixel_size_A=float(manifest.summary["pixel_size_A"]),
        particle_diameter_A=float(manifest.summary.get("particle_diameter_used_A", np.nan)),
        resolution_A=float(manifest.summary["resolution_used_A"]),
        population=found.population,
        tested=found.tested,
        error_A=found.error_A,
        mirror_share=found.mirror_share,
        stable=found.stable,
        averages=found.averages,
        particle_error_A=_nan_below_zero(data.numbers("vtrPixelErrorAngst")),
        mirror_stable=data.numbers("vtrMirrorStable") > 0,
        alignments=Alignments.unknown(len(data)),
    )


def read_neighbours(folder: Path, manifest: Manifest) -> NeighboursResult:
    """Particles that were refused have the neighbours -1."""
    found, summary = open_neighbours_folder(folder), manifest.summary
    weight, figures = found.weight, found.figures
    pairs = read_star(folder / "neighbours.star")["neighbours"]
    rank = pairs.numbers("vtrRank").astype(np.int64) - 1
    most = int(rank.max(initial=-1)) + 1
    at = pairs.numbers("vtrParticle").astype(np.int64) - 1, rank

    def spread(column: str, fill: Any, dtype: type) -> np.ndarray:
        out: np.ndarray = np.full((len(weight), most), fill, dtype)
        out[at] = pairs.numbers(column)
        return out

    return NeighboursResult(
        pixel_size_A=found.pixel_size_A,
        particle_diameter_A=float(summary["particle_diameter_used_A"]),
        neighbours=np.where(weight[:, None] > 0, spread("vtrNeighbour", 0, np.int64) - 1, -1),
        mirrored=spread("vtrMirrored", 0, np.int64) > 0,
        psi_deg=spread("rlnAnglePsi", 0.0, np.float32),
        affinity=spread("vtrAffinity", 0.0, np.float32),
        log_evidence=found.log_evidence.astype(np.float32),
        weight=weight,
        average_of=found.average_table["particles"].numbers("vtrParticle").astype(np.int64) - 1,
        averages=found.averages,
        frc=figures["frc"],
        classes=found.classes,
        class_members=found.class_members,
        orders=figures["orders"],
        variances=figures["variances"],
        evidence=float(summary["evidence"]),
        noise_power=figures["noise_power"],
        defocus_groups=int(summary["defocus_groups"]),
        defocus_phase_error_rad=float(summary["defocus_phase_error_rad"]),
        messages=list(manifest.messages),
    )


def read_deconvolved(folder: Path, manifest: Manifest) -> DeconvolveResult:
    """Figures of convergence are NaN, 0 and False in folders of versions that did not write them."""
    table, summary = _data(folder, "deconvolved"), manifest.summary
    stacks = {name: read_stack(folder / f"deconvolved_{name}.mrcs") for name in ("unmasked", "masks", "plain")}

    def column(name: str, missing: float) -> np.ndarray:
        return table.numbers(name) if name in table else np.full(len(table), missing)

    return DeconvolveResult(
        pixel_size_A=float(summary["pixel_size_A"]),
        particle_diameter_A=float(summary["particle_diameter_used_A"]),
        class_number=table.numbers("rlnClassNumber").astype(np.int64),
        averages=read_stack(folder / "deconvolved.mrcs"),
        population=table.numbers("vtrPopulation").astype(np.int64),
        iterations=column("vtrIterations", 0).astype(np.int64),
        residual=column("vtrResidual", np.nan),
        converged=column("vtrConverged", 0) > 0,
        group_defocus_A=np.array(summary["group_defocus_A"], np.float64),
        group_population=np.array(summary["group_population"], np.int64),
        messages=list(manifest.messages),
        **stacks,
    )


def read_denoised(folder: Path, manifest: Manifest) -> DenoiseResult:
    """All images are read."""
    kept = {name: value for name, value in read_model(folder).items() if not name.startswith("example_")}
    plain: dict[str, Any] = {name: value.item() if value.ndim == 0 else value for name, value in kept.items()}
    model = DenoiseModel(**{**plain, "messages": list(manifest.messages)})
    weight = (~model.bad).astype(np.float32)
    return DenoiseResult(images=read_stack(folder / "denoised.mrcs"), weight=weight, model=model)


def read_projected(folder: Path) -> ProjectFolder:
    """Of project: some of the images, and the angles of all."""
    return read_projections(folder, most=SHOWN)


def _data(folder: Path, stem: str) -> Table:
    """The rows of a particle file."""
    return next(table for table in read_star(folder / f"{stem}.star").values() if "rlnImageName" in table)


def _alignments(path: Path) -> Alignments:
    return Alignments.from_particles(read_particles(path))


def _nan_below_zero(values: np.ndarray) -> np.ndarray:
    return np.where(values < 0, np.nan, values)
