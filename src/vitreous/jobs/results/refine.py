"""The result files of ``refine``, written and read back."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.postprocess import (
    PostProcessFolder,
    postprocess_files,
    read_postprocessed,
    write_postprocessed,
)
from vitreous.particles import ParticleSet, in_relion_form, read_star, write_volume
from vitreous.rotations import euler_to_matrix
from vitreous.structures.poses import ANGLES
from vitreous.structures.refine import RefineResult

__all__ = ["DATA", "REFINE_FILES", "STEM", "RefineFolder", "read_refined", "write_refined"]

STEM, DATA, EXCLUDED = "refined", "refined_data.star", "refined_excluded.star"
HALVES = ("refined_half1_unfil.mrc", "refined_half2_unfil.mrc")
UNFILTERED = "refined_unfil.mrc"
REFINE_FILES = (DATA, EXCLUDED, *HALVES, UNFILTERED, *postprocess_files(STEM))
IMAGING = ("vtrDefocusUGiven", "vtrDefocusVGiven", "vtrSigmaDefocus", "vtrScale", "vtrSigmaScale")
SIGMA = ("vtrSigmaPsi", "vtrSigmaDirection", "vtrSigmaOrigin")


@dataclass(frozen=True, kw_only=True, eq=False)
class RefineFolder:
    """Of the particles that had a part (m): rotation (m, 3, 3), half, standard deviations in degrees, gain in nats."""

    post: PostProcessFolder
    rotations: np.ndarray
    half: np.ndarray
    sigma_psi_deg: np.ndarray
    sigma_direction_deg: np.ndarray
    log_likelihood: np.ndarray


def write_refined(folder: str | Path, result: RefineResult, particles: ParticleSet) -> None:
    """Write a result into a folder.

    ``refined.mrc`` (all particles, filtered and sharpened) and what else :func:`write_postprocessed` writes, the half
    maps and their mean without any filter, ``refined_data.star``: all columns of the input, poses, half
    (rlnRandomSubset), standard deviations of in-plane angle and viewing direction in degrees and of the origin in
    Angstrom (per axis), log likelihood above that of an empty image; where they were refined, defocus (with that of
    the input beside it) and contrast. Particles that had no part are in
    ``refined_excluded.star``, as the input has them: angles of theirs would look like results.
    """
    path = Path(folder)
    write_postprocessed(path, result.post, stem=STEM)
    for name, half in zip(HALVES, result.halves, strict=True):
        write_volume(path / name, half)
    write_volume(path / UNFILTERED, result.post.mean)
    columns = {name: np.round(values, 4) for name, values in result.poses.columns().items()}
    sigmas = (result.sigma_psi_deg, result.sigma_direction_deg, result.sigma_origin_A)
    columns |= _imaging_columns(result, particles)
    had_part = result.half >= 0
    in_relion_form(
        particles,
        **columns,
        rlnRandomSubset=result.half + 1,
        **{name: np.round(values, 4) for name, values in zip(SIGMA, sigmas, strict=True)},
        rlnLogLikeliContribution=np.round(result.log_likelihood, 3),
    ).subset(np.flatnonzero(had_part)).write(path / DATA)
    if not had_part.all():
        particles.subset(np.flatnonzero(~had_part)).write(path / EXCLUDED)


def _imaging_columns(result: RefineResult, particles: ParticleSet) -> dict[str, np.ndarray]:
    """Defocus and contrast, where they were refined; the defocus of the input under another name."""
    found, given = result.imaging, particles.ctf_for(True)
    columns: dict[str, np.ndarray] = {}
    if found.defocus_sd_A.any() and result.ctf is not None and given is not None:
        columns["rlnDefocusU"], columns["rlnDefocusV"] = result.ctf.defocus_u_A, result.ctf.defocus_v_A
        columns |= dict(zip(IMAGING[:3], (given.defocus_u_A, given.defocus_v_A, found.defocus_sd_A), strict=True))
    if found.scale_sd.any():
        columns |= dict(zip(IMAGING[3:], (found.scale, found.scale_sd), strict=True))
    return {name: np.round(values, 4) for name, values in columns.items()}


def read_refined(folder: str | Path) -> RefineFolder:
    """Read what :func:`write_refined` wrote. Raises JobFolderError when it is not there."""
    path = Path(folder)
    if not (path / DATA).is_file():
        raise JobFolderError(f"{path} has no {DATA}: it is not the folder of a finished refinement")
    table = read_star(path / DATA)["particles"]
    angles = np.stack([table.numbers(name) for name in ANGLES], axis=1)
    return RefineFolder(
        post=read_postprocessed(path, stem=STEM),
        rotations=euler_to_matrix(torch.from_numpy(angles)).numpy(),
        half=table.numbers("rlnRandomSubset").astype(int) - 1,
        sigma_psi_deg=table.numbers("vtrSigmaPsi"),
        sigma_direction_deg=table.numbers("vtrSigmaDirection"),
        log_likelihood=table.numbers("rlnLogLikeliContribution"),
    )
