"""Symmetry in ab initio: found without it, turned into the standard frame, imposed; and said when it is not there."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vitreous.matching import Alignments, accumulate_at, total
from vitreous.particles import Volume
from vitreous.rotations import compare_poses, random_rotations, symmetry_matrices
from vitreous.structures.abinitio import AUTO, Abinitio, FoundGroup, abinitio, prepare_run
from vitreous.structures.abinitio.maps import at_particle_size
from vitreous.structures.abinitio.relaxed import group_of_maps, impose, is_clear, symmetry_messages, time_to_look
from vitreous.structures.abinitio.statistics import densities, fold_sums, volume_power
from vitreous.structures.poses import Poses
from vitreous.testing import ArrayParticles
from vitreous.volumes import RingPoints, project_map, symmetry_merit

BOX, PIXEL_A, N = 24, 6.0, 400
SETTINGS = Abinitio(particle_diameter_A=120.0, offset_range_A=8.0, starts=1, resolution_limit_A=22.0, folds=6)
TURN = random_rotations(1, seed=2)[0].numpy()


def symmetric(name: str) -> Volume:
    """Blobs of 18 A and their copies under a group whose axes lie anywhere."""
    rng = np.random.default_rng(4)
    z, y, x = (np.indices((BOX, BOX, BOX)) - BOX // 2) * PIXEL_A
    data = np.zeros((BOX, BOX, BOX))
    for _ in range(4):
        at = rng.normal(size=3)
        at *= rng.uniform(20.0, 45.0) / np.linalg.norm(at)
        height = rng.uniform(0.6, 1.4)
        for element in symmetry_matrices(name).numpy():
            cx, cy, cz = TURN.T @ element @ at
            data += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / (2 * 8.0**2))
    return Volume(data=data.astype(np.float32), pixel_size_A=PIXEL_A)


def images_of(volume: Volume, rotations: np.ndarray, snr: float) -> tuple[ArrayParticles, np.ndarray]:
    rng = np.random.default_rng(0)
    origins = rng.uniform(-5.0, 5.0, size=(len(rotations), 2))
    clean = project_map(volume, rotations, origins, BOX, PIXEL_A)
    noisy = clean + rng.normal(size=clean.shape) * np.sqrt(clean.var() / snr)
    return ArrayParticles(images=noisy.astype(np.float32), pixel_size_A=PIXEL_A), origins


def right(found: np.ndarray, truth: np.ndarray, name: str) -> float:
    """Share of the poses within 25 degrees, but for frame, hand and copies."""
    group = TURN.T @ symmetry_matrices(name).numpy() @ TURN  # that of the truth
    return compare_poses(truth, found, group=group, within_deg=25.0).fraction


@pytest.mark.parametrize("symmetry", ["D2", AUTO])
def test_the_group_is_imposed_on_the_structure_that_was_found_without_it(symmetry):
    rotations = random_rotations(N, seed=5).numpy()
    particles, _ = images_of(symmetric("D2"), rotations, snr=0.5)
    found = abinitio(particles, SETTINGS, symmetry=symmetry)
    start = found.starts[0]
    assert (found.symmetry, start.symmetry) == ("D2", "D2")
    assert found.volumes[0].symmetry in ("C1", "D2")
    assert start.group is not None
    assert start.group.merit > 0.5
    assert right(found.poses.rotation[:100], rotations[:100], "D2") > 0.8  # chance: some 15 in 100
    assert symmetry_merit(found.volumes[0], "D2", resolution_A=24.0, diameter_A=120.0) > 0.95
    said = [line for line in found.messages if line.startswith("Symmetry: D2")]
    assert len(said) == (symmetry == AUTO)


def test_turned_sums_and_poses_belong_together():
    """After it, slices of the turned map at the turned poses are the images, and the map has the group."""
    rotations = random_rotations(N, seed=6).numpy()
    particles, origins = images_of(symmetric("D2"), rotations, snr=50.0)
    run = prepare_run(particles, replace(SETTINGS, symmetry="D2", normalise=False))
    data = run.data()
    points, room = RingPoints(basis=data.basis.truncated(9)), 9
    everyone = np.arange(N)
    parts = []
    for fold in (everyone[0::2], everyone[1::2]):
        label = np.arange(len(fold))
        start = Alignments.from_shifts(fold, label, np.zeros(len(fold)), -origins[fold] / data.pixel_size_A)
        sums = accumulate_at(data, start, len(fold), data.group_power, rings=room)
        matrices = torch.from_numpy(rotations[fold]).float()
        parts.append(fold_sums(sums, matrices, points, 1, room, symmetry_matrices("C1")))
    before = Poses(particle=everyone, volume=np.zeros(N, np.int64), rotation=rotations, origin_A=origins)
    found, frames = group_of_maps(tuple(parts), data, run.settings, 9, 3)
    assert found.merit > 0.8
    window_A = data.basis.window_px * data.pixel_size_A
    turned, after = impose("D2", frames, tuple(parts), before, window_A)
    density = densities(total(turned), data.basis, volume_power(turned, 9))[0].numpy()
    volume = at_particle_size(torch.from_numpy(density), data)
    assert symmetry_merit(volume, "D2", resolution_A=window_A / 9, diameter_A=120.0) > 0.95
    shown = project_map(volume, after.rotation[:40], after.origin_A[:40], BOX, PIXEL_A)
    clean = particles.read(np.arange(40))
    assert np.corrcoef(shown.ravel(), clean.ravel())[0, 1] > 0.9


def test_when_it_is_looked_for():
    auto, given = replace(SETTINGS, symmetry=AUTO), replace(SETTINGS, symmetry="D2")
    at = {"passes": 8, "decided": True, "at_last_rings": True, "ended": False}
    assert not time_to_look(SETTINGS, "C1", **at)
    assert time_to_look(auto, "C1", **at)
    assert time_to_look(given, "C1", **at)
    assert not time_to_look(auto, "C1", **{**at, "passes": 7})
    assert not time_to_look(given, "C1", **{**at, "decided": False})
    assert time_to_look(given, "C1", **{**at, "decided": False, "passes": given.iterations // 2})
    assert not time_to_look(given, "D2", **at)
    assert time_to_look(auto, "C2", **{**at, "ended": True})  # it may be part of a larger one


def test_what_is_imposed_and_what_is_said():
    auto, given = replace(SETTINGS, symmetry=AUTO), replace(SETTINGS, symmetry="D2")
    clear = FoundGroup(name="D2", merit=0.9, passes=5, rivals=("C2", "T"), rival_merits=(0.95, 0.2))
    poor = replace(clear, merit=0.3)
    part = FoundGroup(name="C2", merit=0.7, passes=5, rivals=("C4",), rival_merits=(0.5,))
    none = FoundGroup(name="C1", merit=0.1, passes=5, rivals=("C2",), rival_merits=(0.1,))
    assert is_clear(clear, auto, "C1", passes=5, ended=False)
    assert not is_clear(part, auto, "C1", passes=5, ended=False)  # C4 may be
    assert is_clear(part, auto, "C1", passes=5, ended=True)
    assert not is_clear(part, auto, "D2", passes=5, ended=True)
    assert not is_clear(none, auto, "C1", passes=5, ended=True)
    assert not is_clear(poor, given, "C1", passes=5, ended=False)
    assert is_clear(poor, given, "C1", passes=5, ended=True)
    assert symmetry_messages(clear, ["D2"], given) == []
    assert symmetry_messages(poor, ["D2"], given)[0].startswith("Not the symmetry D2")
    assert symmetry_messages(clear, ["D2", "C1"], auto)[1].startswith("Not all starts")
    assert symmetry_messages(none, ["C1"], auto)[0].startswith("Symmetry: none was found")
    assert symmetry_messages(clear, ["C1"], SETTINGS)[0].startswith("Poses jump between copies")
    assert symmetry_messages(none, ["C1"], SETTINGS) == symmetry_messages(None, ["C1"], auto) == []


def test_settings_know_groups_and_auto():
    assert Abinitio(symmetry=AUTO).symmetry == AUTO
    with pytest.raises(ValueError, match="symmetry group: expected C1"):
        Abinitio(symmetry="Q4")
