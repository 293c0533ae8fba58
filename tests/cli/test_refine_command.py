"""``vitreous refine``: files and figures, resume, where it may start from, and what it says about bad input."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.jobs import read_history, read_manifest
from vitreous.jobs.results.refine import read_refined
from vitreous.jobs.tasks.refine import run_refine
from vitreous.particles import read_particles, read_star, read_volume, write_volume
from vitreous.structures.refine import Refine

QUICK = ("--folds", "4", "--iterations", "3", "--initial-lowpass-A", "30", "--threads", "1")
SETTINGS = Refine(folds=4, iterations=3, initial_lowpass_A=30.0)


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    path = tmp_path_factory.mktemp("refine") / "out"
    run_refine(simulated / "truth.star", path, SETTINGS)
    return path


def test_files_hold_maps_halves_and_errors(folder, simulated):
    found, particles = read_refined(folder), read_particles(simulated / "truth.star")
    half1, half2, mean = (
        read_volume(folder / f"refined_{name}.mrc") for name in ("half1_unfil", "half2_unfil", "unfil")
    )
    assert half1.data.shape == (particles.box_px,) * 3
    assert np.abs((half1.data + half2.data) / 2 - mean.data).max() < 1e-4 * np.abs(mean.data).max()
    assert np.corrcoef(half1.data.ravel(), half2.data.ravel())[0, 1] < 0.999
    assert len(found.half) == len(particles)
    assert abs(int(np.bincount(found.half) @ [1, -1])) <= 2
    assert (found.sigma_direction_deg > 0).all()
    assert (found.sigma_psi_deg > 0).all()
    table = read_star(folder / "refined_data.star")["particles"]
    assert set(particles.table.columns) <= set(table.columns)
    summary = read_manifest(folder).summary
    assert summary["passes"] == len(read_history(folder)) == 3
    assert 0 < summary["view_efficiency"] <= 1


def test_a_folder_goes_on_from_its_poses(folder, vitreous, tmp_path):
    ended = vitreous("refine", folder, "-o", tmp_path / "again", *QUICK)
    assert ended.code == 0, ended.err
    assert "poses of the file" in ended.out
    a, b = (read_refined(path).rotations for path in (folder, tmp_path / "again"))
    angle = np.rad2deg(np.arccos(np.clip((np.einsum("nab,nab->n", a, b) - 1) / 2, -1, 1)))
    assert np.median(angle) < 3.0


def test_a_reference_is_resampled_and_that_is_said(simulated, vitreous, tmp_path):
    reference = read_volume(simulated / "volume_1.mrc")
    write_volume(tmp_path / "map.mrc", reference.with_data(reference.data[2:-2, 2:-2, 2:-2]))
    ended = vitreous(
        "refine", simulated / "particles.star", "--reference", tmp_path / "map.mrc", "-o", tmp_path / "o", *QUICK[:4],
        "--initial-lowpass-A", "30", "--symmetry", "C4", "--dry-run",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "was resampled to the grid of the particles" in ended.out
    assert "all views are searched in the first pass" in ended.out
    assert "does not have the symmetry C4" in ended.out + ended.err
    for pixel_A, says in ((1.0, "is 24 Å across and the images are 288 Å"), (100.0, "no detail of a particle")):
        write_volume(tmp_path / "other.mrc", replace(reference, pixel_size_A=pixel_A))
        ended = vitreous(
            "refine", simulated / "truth.star", "--reference", tmp_path / "other.mrc", "-o", tmp_path / "o", "--dry-run"
        )
        assert says in ended.out + ended.err
    assert not (tmp_path / "o").exists()


def test_what_cannot_be_used_is_said_before_the_folder_is_made(simulated, vitreous, tmp_path):
    empty = read_volume(simulated / "volume_1.mrc")
    write_volume(tmp_path / "empty.mrc", empty.with_data(0 * empty.data))
    corner = np.zeros_like(empty.data)
    corner[:4, :4, :4] = 1.0
    write_volume(tmp_path / "corner.mrc", empty.with_data(corner))
    for words, said in (
        ((simulated / "particles.star",), "no reference is given"),
        ((simulated / "truth.star", "--ignore-poses"), "no reference is given"),
        ((simulated / "truth.star", "--symmetry", "X3"), "expected C1"),
        ((simulated / "truth.star", "--mask", tmp_path / "empty.mrc"), "empty.mrc"),
        ((simulated / "truth.star", "--mask", tmp_path / "corner.mrc"), "0.00% of the sphere of the particle"),
        ((simulated / "truth.star", "--folds", "3"), "folds: expected"),
        ((tmp_path,), "has none of abinitio_data.star"),
    ):
        ended = vitreous("refine", *words, "-o", tmp_path / "o")
        assert ended.code != 0
        assert said in ended.err + ended.out, words
        assert not (tmp_path / "o").exists()


def test_a_reference_must_be_a_map_with_something_in_it(simulated, vitreous, tmp_path):
    reference = read_volume(simulated / "volume_1.mrc")
    hole = reference.data.copy()
    hole[3, 4, 5] = np.nan
    write_volume(tmp_path / "hole.mrc", reference.with_data(hole))
    write_volume(tmp_path / "flat.mrc", reference.with_data(np.zeros_like(hole)))
    for bad, says in (
        (simulated / "particles.mrcs", "stack of images"),
        (tmp_path / "hole.mrc", "holds 1 values that are NaN"),
        (tmp_path / "flat.mrc", "the same value everywhere"),
    ):
        ended = vitreous("refine", simulated / "truth.star", "--reference", bad, "-o", tmp_path / "o", *QUICK)
        assert (ended.code, says in ended.err) == (1, True), ended.err
    assert not (tmp_path / "o").exists()


def test_what_is_to_be_doubted_is_said_at_the_end(folder, vitreous, tmp_path):
    ended = vitreous("refine", folder, "-o", tmp_path / "o", *QUICK[:2], "--iterations", "1", "--threads", "1")
    assert ended.code == 0, ended.err
    assert "note     The refinement stopped after 1 passes, before it had converged." in ended.out


def test_particles_without_a_part_have_none_in_a_reconstruction(folder, vitreous, tmp_path):
    """Half-set 0 of a refinement is no error for ``reconstruct``: it has no weight."""
    particles = read_particles(folder / "refined_data.star")
    subset = particles.table.numbers("rlnRandomSubset").astype(int)
    subset[:3] = 0
    particles.with_columns(rlnRandomSubset=subset).write(tmp_path / "some.star")
    ended = vitreous("reconstruct", tmp_path / "some.star", "-o", tmp_path / "rec")
    assert ended.code == 0, ended.err
    assert "3 particles have no part" in ended.out + ended.err
    assert len(read_star(tmp_path / "rec" / "reconstruction_data.star")["particles"]) == len(particles) - 3


def test_defocus_and_contrast_are_in_the_table_beside_what_was_given(simulated, vitreous, tmp_path):
    """One change per micrograph and half; the columns of the input under another name; contrasts are 1 on average."""
    words = ("--refine-defocus", "groups", "--refine-scale", "particles", *QUICK)
    ended = vitreous("refine", simulated / "truth.star", "-o", tmp_path / "o", *words)
    assert ended.code == 0, ended.err
    given = read_particles(simulated / "truth.star").table
    table = read_star(tmp_path / "o" / "refined_data.star")["particles"]
    assert table.numbers("vtrDefocusUGiven") == pytest.approx(given.numbers("rlnDefocusU"), abs=0.1)
    change = table.numbers("rlnDefocusU") - table.numbers("vtrDefocusUGiven")
    assert table.numbers("rlnDefocusV") - table.numbers("vtrDefocusVGiven") == pytest.approx(change, abs=0.01)
    assert len(np.unique(change.round(2))) <= 2 * 3  # halves of three micrographs
    assert (table.numbers("vtrSigmaDefocus") > 0).all()
    assert table.numbers("vtrScale").mean() == pytest.approx(1.0, abs=0.1)
    assert (table.numbers("vtrSigmaScale") > 0).all()
