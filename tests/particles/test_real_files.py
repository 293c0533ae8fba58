import mrcfile
import numpy as np
import pytest
import starfile

from vitreous.particles import (
    ParticleFileError,
    check_particles,
    open_stack,
    read_particles,
    read_star,
    read_volume,
    write_star,
)

pytestmark = pytest.mark.data

STAR_FILES = [
    "apoferritin_empiar10146/apo_particles_64_3.0A.star",
    "ribosome80S_empiar10028/ribo80S_80_5.36A.star",
    "conventions/ctf.star",
    "parsers/FinalRefinement-OriginalParticles-PfCRT.star",
    "parsers/relion31.6opticsgroups.star",
    "parsers/relion31.star",
    "parsers/relion5.star",
    "parsers/sample_data_model.star",
    "parsers/sample_particles_relion30.star",
    "parsers/sample_particles_relion31.star",
]
MRC_FILES = [
    "averages/betagal_16_averages_3.54A.mrcs",
    "conventions/ctf.mrcs",
    "maps/groel_emd1997_100_2.02A.map",
    "maps/ribosome70S_65.mrc",
    "parsers/relion31.mrcs",
    "ribosome80S_empiar10028/ribo80S_80_5.36A.mrcs",
]


@pytest.mark.parametrize("name", STAR_FILES)
def test_star_agrees_with_starfile_and_survives(shared_data, tmp_path, name):
    blocks = read_star(shared_data / name)
    theirs = starfile.read(shared_data / name, always_dict=True)
    assert list(blocks) == list(theirs)
    for block, table in blocks.items():
        frame = theirs[block]
        assert list(table.names) == list(frame)
        for column in table.names:
            expected = np.atleast_1d(np.asarray(frame[column]))
            found = table[column] if table[column].dtype.kind != "O" else table.text(column)
            assert found.tolist() == (
                expected.tolist() if found.dtype.kind == "O" else pytest.approx(expected.tolist())
            )
    write_star(tmp_path / "a.star", blocks)
    again = read_star(tmp_path / "a.star")
    for block, table in blocks.items():
        assert again[block].names == table.names
        assert all((again[block].text(c) == table.text(c)).all() for c in table.names)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # mrcfile complains of headers
@pytest.mark.parametrize("name", MRC_FILES)
def test_mrc_agrees_with_mrcfile(shared_data, name):
    stack = open_stack(shared_data / name)
    with mrcfile.open(shared_data / name, permissive=True) as file:
        assert (stack.read(np.arange(len(stack))) == file.data).all()
        assert stack.header.pixel_size_A == pytest.approx(float(file.voxel_size.x), rel=1e-6)


def test_maps(shared_data):
    volume = read_volume(shared_data / "maps/groel_emd1080_100_2.7A.mrc")
    assert (volume.data.shape, volume.pixel_size_A) == ((100, 100, 100), 2.7)
    with pytest.raises(ParticleFileError, match="give pixel_size_A"):
        read_volume(shared_data / "maps/ribosome70S_65.mrc")


@pytest.mark.parametrize(
    ("name", "n", "box", "pixel"),
    [
        ("ribosome80S_empiar10028/ribo80S_80_5.36A", 832, 80, 5.36),
        ("apoferritin_empiar10146/apo_particles_64_3.0A", 2557, 64, 3.0),
    ],
)
def test_real_particles(shared_data, tmp_path, name, n, box, pixel):
    p = read_particles(shared_data / f"{name}.star")
    assert (len(p), p.box_px, p.pixel_size_A, p.has_ctf) == (n, box, pixel, True)
    report = check_particles(p)
    assert report.can_run
    assert report.contrast.verdict == "white"
    assert report.background.normalised_fraction > 0.9
    assert not any(report.bad.values())
    assert not report.duplicate_images
    order = np.random.default_rng(0).permutation(n)
    stack = open_stack(shared_data / f"{name}.mrcs")
    assert (p.read(order) == stack.read(order)).all()
    p.subset(order[:9]).write(tmp_path / "a.star")
    assert (read_particles(tmp_path / "a.star").read(slice(None)) == stack.read(order[:9])).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # mrcfile complains of the header
def test_cryosparc_with_its_stack(shared_data):
    p = read_particles(shared_data / "parsers/empiar_10076_7.cs")
    assert (len(p), p.box_px, p.has_ctf) == (7, 320, True)
    assert p.pixel_size_A == pytest.approx(1.31, rel=1e-5)
    with mrcfile.open(shared_data / "parsers/empiar_10076_7.mrc", permissive=True) as file:
        assert (p.read(slice(None)) == -file.data).all()


def test_cryosparc_refinement(shared_data):
    p = read_particles(shared_data / "parsers/cryosparc_P12_J24_001_particles.cs")
    assert (len(p), p.box_px, p.pixel_size_A, len(p.image_files)) == (2019, 180, 2.95, 50)
    assert set(p.table["rlnRandomSubset"]) == {1, 2}
    assert p.origin_A[0] == pytest.approx([11.334375 * 2.95, -1.828125 * 2.95], rel=1e-6)
    assert p.table["rlnAngleTilt"].min() >= 0


def test_relion_30_and_six_optics_groups(shared_data):
    p = read_particles(shared_data / "parsers/sample_particles_relion30.star")
    assert p.pixel_size_A == pytest.approx(1.338, abs=1e-3)
    p = read_particles(shared_data / "parsers/relion31.6opticsgroups.star")
    assert len(p.optics) == 6
    assert np.bincount(p.optics_group).sum() == 139
    assert 1.24 < p.pixel_size_A < 1.25, "0.8 % of a box of 196 pixels moves its edge by less than half a pixel"
    with pytest.raises(ParticleFileError, match=r"no particles: no block has the column rlnImageName"):
        read_particles(shared_data / "parsers/sample_data_model.star")
