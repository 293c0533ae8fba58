"""What we write is what starfile and RELION's programs read."""

import shutil
import subprocess
from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import starfile
from made_up import BOX, CLASSES, PARTICLES, PIXEL, SEARCH, made_up_particles, made_up_result

from vitreous.jobs.results.class2d_relion import write_final, write_iteration
from vitreous.jobs.results.class2d_relion_tables import snapshot_of
from vitreous.particles import Table, read_particles, write_star


@pytest.fixture
def written(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    particles, result = made_up_particles(tmp_path), made_up_result()
    write_iteration(folder, replace(snapshot_of(result), measured=None), particles, iteration=2, search=SEARCH)
    write_final(folder, result, particles, search=SEARCH)
    return folder, result


@pytest.mark.parametrize("root", ["run_it002", "run"])
def test_the_whole_set_is_there_and_points_at_itself(written, root):
    folder, _ = written
    optimiser = starfile.read(folder / f"{root}_optimiser.star")
    for label, kind in (("Model", "model"), ("ExperimentalData", "data"), ("OrientSampling", "sampling")):
        assert optimiser[f"rln{label}StarFile"] == f"{folder}/{root}_{kind}.star"
        assert (folder / f"{root}_{kind}.star").is_file()
    assert optimiser["rlnOutputRootName"] == f"{folder}/run"
    assert optimiser["rlnCurrentIteration"] == (2 if root == "run_it002" else SEARCH.iterations)


def test_particles_carry_the_result_and_everything_they_had(written):
    folder, result = written
    data = starfile.read(folder / "run_data.star")
    table = data["particles"]
    assert list(table["rlnClassNumber"]) == list(result.class_number)
    for name, values in (
        ("rlnAnglePsi", result.psi_deg),
        ("rlnOriginXAngst", result.origin_x_A),
        ("rlnOriginYAngst", result.origin_y_A),
        ("rlnLogLikeliContribution", result.log_likelihood),
        ("rlnMaxValueProbDistribution", result.max_probability),
        ("rlnNrOfSignificantSamples", result.significant),
        ("rlnNormCorrection", np.ones(PARTICLES)),
        ("vtrEntropy", result.entropy),
        ("vtrEffectiveClasses", result.effective_classes),
        ("vtrWeight", result.weight),
    ):
        np.testing.assert_allclose(table[name], values, atol=1e-5, err_msg=name)
    assert list(table["myOwnColumn"]) == [f"note-{i}" for i in range(PARTICLES)]
    assert table["rlnMicrographName"][0] == "mic 0.mrc"
    assert list(data["optics"]["rlnOpticsGroupName"]) == ["first", "second one"]


def test_averages_have_their_pixel_size_and_order(written):
    folder, result = written
    with mrcfile.open(folder / "run_classes.mrcs") as file:
        assert file.is_image_stack()
        assert float(file.voxel_size.x) == pytest.approx(PIXEL)
        np.testing.assert_array_equal(file.data, result.averages)
    with mrcfile.open(folder / "run_class_halves.mrcs") as file:
        np.testing.assert_array_equal(file.data[2], result.averages_half[0, 1])
        np.testing.assert_array_equal(file.data[3], result.averages_half[1, 1])


def test_the_model_has_figures_and_spectra(written):
    folder, result = written
    model = starfile.read(folder / "run_model.star")
    classes = model["model_classes"]
    assert classes["rlnReferenceImage"][1] == f"000002@{folder}/run_classes.mrcs"
    np.testing.assert_allclose(classes["rlnClassDistribution"], result.distribution, atol=1e-7)
    assert list(classes["rlnEstimatedResolution"]) == [18.3, 12.8, 25.6, 999.0, 999.0]
    for k in range(CLASSES):
        np.testing.assert_allclose(model[f"model_class_{k + 1}"]["rlnGoldStandardFsc"], result.frc[k], atol=1e-6)
    np.testing.assert_allclose(model["model_group_2"]["rlnSigma2Noise"], 1 / (2 * BOX**2))
    assert model["model_groups"]["rlnGroupNrParticles"].sum() == PARTICLES
    assert model["model_general"]["rlnNrClasses"] == CLASSES


def test_an_iteration_has_what_there_is_by_then_and_what_relion_insists_on(written):
    folder, _ = written
    final, early = (starfile.read(folder / f"{root}_data.star")["particles"] for root in ("run", "run_it002"))
    assert list(early) == [name for name in final if not name.startswith("vtr")]
    same = [name for name in early if name != "rlnNrOfSignificantSamples"]
    assert early[same].equals(final[same])
    assert not early["rlnNrOfSignificantSamples"].any()
    final, early = (starfile.read(folder / f"{root}_model.star") for root in ("run", "run_it002"))
    assert list(final["model_classes"]["vtrPopulation"]) == list(early["model_classes"]["vtrPopulation"])
    assert set(final["model_classes"]) - set(early["model_classes"]) == {"vtrEffectiveNumber"}
    assert not early["model_class_1"]["rlnSsnrMap"].any()
    assert set(final["model_class_1"]) == set(early["model_class_1"])


def test_groups_agree_between_particles_and_model(tmp_path):
    """RELION 3.1 crashes when the particles name groups that the model does not have."""
    folder = tmp_path / "job"
    folder.mkdir()
    particles, result = made_up_particles(tmp_path), made_up_result()
    for names, expected in (
        (None, ["group_001", "group_002"]),
        (["zeta"] * 20 + ["alpha"] * 30 + ["zeta"] * 10, ["zeta", "alpha"]),
    ):
        named = particles if names is None else particles.with_columns(rlnGroupName=np.array(names))
        write_final(folder, result, named, search=SEARCH)
        model, table = starfile.read(folder / "run_model.star"), starfile.read(folder / "run_data.star")["particles"]
        assert list(model["model_groups"]["rlnGroupName"]) == expected
        assert model["model_general"]["rlnNrGroups"] == len(expected)
        number = dict(zip(model["model_groups"]["rlnGroupName"], model["model_groups"]["rlnGroupNumber"], strict=True))
        assert list(table["rlnGroupName"].map(number)) == list(table["rlnGroupNumber"])


def test_a_set_from_relion_30_is_written_in_the_form_of_31(tmp_path):
    particles, result = made_up_particles(tmp_path), made_up_result()
    old = {name: particles.table[name] for name in ("rlnImageName", "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")}
    for name, value in (
        ("rlnVoltage", 300.0),
        ("rlnSphericalAberration", 2.7),
        ("rlnAmplitudeContrast", 0.1),
        ("rlnDetectorPixelSize", 4.0),
        ("rlnMagnification", 10000.0),
        ("rlnOriginX", 99.0),
        ("rlnOriginY", 99.0),
    ):
        old[name] = np.full(PARTICLES, value)
    write_star(tmp_path / "old.star", {"": Table.from_arrays(old)})
    folder = tmp_path / "job"
    folder.mkdir()
    write_final(folder, result, read_particles(tmp_path / "old.star"), search=SEARCH)
    data = starfile.read(folder / "run_data.star")
    assert set(data) == {"optics", "particles"}
    assert data["optics"]["rlnOpticsGroup"].tolist() == [1]
    assert set(data["particles"]["rlnOpticsGroup"]) == {1}
    np.testing.assert_allclose(data["particles"]["rlnOriginX"], result.origin_x_A / PIXEL, atol=1e-5)
    assert len(read_particles(folder / "run_data.star")) == PARTICLES


def test_output_nodes_are_named(written):
    folder, _ = written
    nodes = starfile.read(folder / "RELION_OUTPUT_NODES.star")
    assert nodes["rlnPipeLineNodeName"][0] == f"{folder}/run_data.star"


@pytest.mark.skipif(shutil.which("relion_star_printtable") is None, reason="RELION is not installed here")
def test_relion_reads_the_tables(tmp_path):
    folder, result = tmp_path / "job", made_up_result()
    folder.mkdir()
    # relion_star_printtable splits rows at every blank, quoted or not.
    particles = made_up_particles(tmp_path).with_columns(rlnMicrographName="mic.mrc")
    write_final(folder, result, particles, search=SEARCH)
    command = ["relion_star_printtable", folder / "run_model.star", "data_model_classes", "rlnClassDistribution"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    np.testing.assert_allclose([float(v) for v in printed], result.distribution, atol=1e-5)
    command = ["relion_star_printtable", folder / "run_data.star", "data_particles", "rlnClassNumber"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert [int(v) for v in printed] == list(result.class_number)


@pytest.mark.skipif(shutil.which("relion_image_handler") is None, reason="RELION is not installed here")
def test_relion_reads_the_averages(written):
    folder, result = written
    command = ["relion_image_handler", "--i", folder / "run_classes.mrcs", "--stats"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in printed.splitlines() if "stddev" in line]
    assert len(lines) == CLASSES
    assert f"angpix = {PIXEL:g}" in lines[0]
    found = float(lines[0].split("stddev=")[1].split()[0])
    assert found == pytest.approx(result.averages[0].std(), rel=1e-3)
