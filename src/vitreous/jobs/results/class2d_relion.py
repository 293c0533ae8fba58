"""Results as RELION writes them, so that its viewer, its selection and its programs work on ours."""

from pathlib import Path

import numpy as np

from vitreous.averages.result import Class2DResult
from vitreous.jobs.results.class2d_relion_tables import (
    SearchSettings,
    Snapshot,
    model_blocks,
    noise_groups,
    optimiser_blocks,
    particle_columns,
    sampling_blocks,
    snapshot_of,
)
from vitreous.particles import ParticleSet, Table, in_relion_form, write_mrc_stack, write_star

__all__ = ["SearchSettings", "Snapshot", "remove_iteration", "write_final", "write_iteration"]


def remove_iteration(folder: str | Path, iteration: int) -> None:
    """Remove what :func:`write_iteration` has written of an iteration."""
    for name in ("optimiser.star", "sampling.star", "model.star", "data.star", "classes.mrcs"):
        (Path(folder) / f"run_it{iteration:03d}_{name}").unlink(missing_ok=True)


def write_iteration(
    folder: str | Path, snapshot: Snapshot, particles: ParticleSet, *, iteration: int, search: SearchSettings
) -> Path:
    """Write ``run_it###_classes.mrcs``, ``_data``, ``_model``, ``_sampling`` and, last, ``_optimiser.star``.

    Every file is atomic, and the optimiser file, by which RELION finds the others, comes last: where it is, the set
    is complete. Returns its path. Paths inside the files are ``folder`` as given, as RELION has it relative to the
    project directory. What only the final pass measures is not there, or zero where RELION insists on it.
    """
    return _write_set(Path(folder), f"run_it{iteration:03d}", snapshot, particles, iteration=iteration, search=search)


def write_final(folder: str | Path, result: Class2DResult, particles: ParticleSet, *, search: SearchSettings) -> Path:
    """Write the final set ``run_classes.mrcs``, ``run_data.star`` and so on.

    In addition the half-set averages ``run_class_halves.mrcs`` (class 1 half 1, class 1 half 2, class 2 half 1, ...)
    and ``RELION_OUTPUT_NODES.star`` for RELION's pipeline. Returns the path of ``run_optimiser.star``.
    """
    path = Path(folder)
    halves = np.swapaxes(result.averages_half, 0, 1).reshape(-1, *result.averages.shape[1:])
    write_mrc_stack(path / "run_class_halves.mrcs", halves, result.pixel_size_A)
    optimiser = _write_set(path, "run", snapshot_of(result), particles, iteration=search.iterations, search=search)
    write_star(path / "RELION_OUTPUT_NODES.star", {"output_nodes": _output_nodes(path)})
    return optimiser


def _write_set(
    folder: Path,
    name: str,
    shown: Snapshot,
    particles: ParticleSet,
    *,
    iteration: int,
    search: SearchSettings,
) -> Path:
    root = f"{folder}/{name}"
    averages = f"{root}_classes.mrcs"
    references = [f"{k + 1:06d}@{averages}" for k in range(len(shown.averages))]
    groups = noise_groups(shown, particles.table)
    columns = particle_columns(shown, groups)
    model = model_blocks(shown, references, search, groups=groups, optics_groups=len(particles.optics))
    write_mrc_stack(averages, shown.averages, shown.pixel_size_A)
    in_relion_form(particles, **columns).write(f"{root}_data.star")
    write_star(f"{root}_model.star", model)
    write_star(f"{root}_sampling.star", sampling_blocks(search))
    write_star(f"{root}_optimiser.star", optimiser_blocks(root, iteration, shown, search))
    return Path(f"{root}_optimiser.star")


def _output_nodes(folder: Path) -> Table:
    """Types of the outputs: as numbers for RELION 3.1, as labels for 4 and 5."""
    return Table.from_arrays(
        {
            "rlnPipeLineNodeName": [f"{folder}/run_data.star", f"{folder}/run_optimiser.star"],
            "rlnPipeLineNodeType": [3, 10],
            "rlnPipeLineNodeTypeLabel": ["ParticlesData.star.relion.class2d", "OptimiserData.star.relion.class2d"],
        }
    )
