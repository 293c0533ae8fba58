"""Arrays are particles like those of files."""

import numpy as np
import pytest
import torch

import vitreous as vt
from vitreous.particles import from_arrays

OPTICS = {"voltage_kV": 300, "cs_mm": 2.7, "amplitude_contrast": 0.1}


def images(count: int = 6, side: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, side, side)).astype(np.float32)


def test_the_room_is_the_function():
    import vitreous.particles as room

    assert room is vt.particles
    assert np.array_equal(vt.particles(images(), 2.0).read([3]), from_arrays(images(), 2.0).read([3]))


def test_numpy_and_torch_of_any_real_type_are_taken():
    for given in (images(), images().astype(np.float64), torch.from_numpy(images())):
        found = vt.particles(given, pixel_size_A=1.5)
        assert (len(found), found.box_px, found.pixel_size_A, found.has_ctf) == (6, 8, 1.5, False)
        np.testing.assert_allclose(found.read(slice(None)), images(), rtol=1e-6)
    whole = vt.particles((100 * images()).astype(np.int16), 1.0)
    assert whole.read([0]).dtype == np.float32


def test_ctf_by_our_names_by_relions_and_as_parameters():
    defocus = np.linspace(10000.0, 20000.0, 6)
    ours = vt.particles(images(), 2.0, {"defocus_A": defocus, "defocus_v_A": defocus - 100, **OPTICS}).ctf
    relions = vt.particles(
        images(),
        2.0,
        {
            "rlnDefocusU": defocus,
            "rlnDefocusV": torch.from_numpy(defocus - 100),
            "rlnVoltage": 300,
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
        },
    ).ctf
    again = vt.particles(images(), 2.0, ours).ctf
    for found in (ours, relions, again):
        assert np.array_equal(found.defocus_u_A, defocus)
        assert np.array_equal(found.defocus_v_A, defocus - 100)
        assert (found.cs_mm == 2.7).all()


def test_two_microscopes_are_two_optics_groups():
    found = vt.particles(images(), 2.0, {"defocus_A": 1e4, **OPTICS, "voltage_kV": [200, 300] * 3})
    assert len(found.optics) == 2
    assert found.ctf.voltage_kV.tolist() == [200, 300] * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((images()[0], 1.0), r"expected an array of shape \(n, L, L\), found \(8, 8\)"),
        ((images().astype(complex), 1.0), "expected real numbers"),
        ((images(), 0.0), "pixel_size_A: expected a positive number"),
        ((images(), 1.0, {"defocus": 1e4}), "no parameter 'defocus'; did you mean 'defocus_"),
        ((images(), 1.0, {"defocus_A": 1e4}), "voltage_kV, cs_mm, amplitude_contrast missing"),
        ((images(), 1.0, {"defocus_A": [1e4], **OPTICS}), "one for each of 6 images"),
    ],
)
def test_what_cannot_be_particles_is_said(given, said):
    with pytest.raises(ValueError, match=said):
        vt.particles(*given)


def test_a_table_is_written_with_its_images_once(tmp_path):
    found = vt.particles(images(), 2.0, {"defocus_A": 1e4, **OPTICS})
    found.write(tmp_path / "all.star")
    (stack,) = tmp_path.glob("*.mrcs")
    before = stack.stat().st_mtime_ns
    found.subset([4, 1]).with_columns(rlnClassNumber=[1, 2]).write(tmp_path / "two.star")
    assert [stack] == list(tmp_path.glob("*.mrcs"))
    assert stack.stat().st_mtime_ns == before
    read = vt.read_particles(tmp_path / "two.star")
    assert np.array_equal(read.read(slice(None)), images()[[4, 1]])
    assert (read.pixel_size_A, read.ctf.defocus_u_A.tolist()) == (2.0, [1e4, 1e4])


def test_other_pixels_have_another_file():
    one, two = vt.particles(images(), 2.0), vt.particles(images() + 1, 2.0)
    other_size = vt.particles(images(), 3.0)
    assert len({found.images.names[0] for found in (one, two, other_size)}) == 3


def test_examples_have_what_they_promise():
    found = vt.example("small", n=30, snr=1.0, box_px=16, seed=3)
    assert (len(found), found.box_px, found.has_ctf) == (30, 16, True)
    assert found.pixel_size_A * 16 == 160
    assert "rlnAngleRot" not in found.table
    true = vt.example("small", n=30, snr=1.0, box_px=16, seed=3, truth=True)
    assert {"rlnAngleRot", "rlnOriginXAngst"} <= set(true.table.names)
    assert np.array_equal(true.read([7]), found.read([7]))
    with pytest.raises(ValueError, match="no example 'ribosom'; did you mean 'ribosome'"):
        vt.example("ribosom")


def test_alignments_come_from_a_set_by_the_names_of_the_images():
    found = vt.particles(images(), 2.0)
    classified = found.with_columns(rlnClassNumber=np.arange(6), rlnAnglePsi=10.0 * np.arange(6), rlnGroupNumber=7)
    mixed = found.subset([5, 0, 2]).with_alignments(classified.subset([2, 3, 5, 0]))
    assert mixed.table["rlnClassNumber"].tolist() == [5, 0, 2]
    assert "rlnGroupNumber" not in mixed.table
    with pytest.raises(ValueError, match="3 of 6 particles are not among its 3"):
        found.with_alignments(classified.subset([0, 1, 2]))
    with pytest.raises(TypeError, match="something with poses or classes"):
        found.with_alignments(3)


def test_sets_tables_and_maps_are_short_on_a_screen_and_pictures_in_a_notebook():
    found = vt.particles(images(), 2.0)
    volume = vt.Volume(data=np.random.default_rng(1).normal(size=(9, 9, 9)), pixel_size_A=2.0)
    for value in (found, found.table, volume):
        assert len(repr(value).splitlines()) <= 5
        assert len(repr(value)) < 400
    assert found._repr_html_().count("<img") == 6
    assert volume._repr_html_().count("<img") == 6  # three slices, three projections
