import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.particles import (
    ParticleFileError,
    Table,
    find_readable,
    read_particles,
    read_star,
    search_folders,
    write_mrc_stack,
    write_star,
)


def rewritten(root, *, particles=None, optics=None, drop=(), name="changed.star"):
    """The fixture's STAR file with columns replaced or dropped."""
    blocks = read_star(root / "Select" / "particles.star")
    blocks["particles"] = blocks["particles"].with_columns(particles or {}).without(drop)
    blocks["optics"] = blocks["optics"].with_columns(optics or {}).without(drop)
    write_star(root / "Select" / name, blocks)
    return root / "Select" / name


def test_what_a_set_says(project):
    root, _ = project
    p = read_particles(root / "Select" / "particles.star")
    assert (len(p), p.box_px, p.pixel_size_A) == (7, 8, 2.5)
    assert p.optics_group.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert p.optics_group.dtype == np.int64
    assert p.micrograph.tolist() == [0, 0, 1, 0, 1, 2, 2]
    assert p.micrograph_names == ("m1", "m2", "m3")
    assert [path.name for path in p.image_files] == ["a.mrcs", "b.mrcs"]
    assert p.has_ctf
    assert p.ctf.voltage_kV.tolist() == [300] * 3 + [200] * 4
    assert p.ctf.cs_mm.tolist() == [2.7] * 3 + [2.0] * 4
    assert p.ctf.defocus_v_A[0] == 9900
    assert p.ctf.defocus_angle_deg[0] == 12.5
    assert p.ctf.phase_shift_deg.tolist() == [0] * 7
    assert p.origin_A[2].tolist() == [2.5, -2.5]
    assert list(p.blocks) == ["general"]


def test_reading_in_any_order(project):
    root, images = project
    p = read_particles(root / "Select" / "particles.star")
    assert (p.read(slice(None)) == images).all()
    assert (p.read([6, 0, 4, 0]) == images[[6, 0, 4, 0]]).all()
    assert (p.read(np.arange(7) % 2 == 0) == images[::2]).all()
    assert (p.read(3) == images[3:4]).all()
    assert p.read([]).shape == (0, 8, 8)
    with pytest.raises(IndexError):
        p.read([7])
    with pytest.raises(IndexError):
        p.read([0.5])
    with pytest.raises(ValueError, match="no particles are chosen"):
        p.subset([])
    assert (pickle.loads(pickle.dumps(p)).read([5]) == images[[5]]).all()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12), st.data())
def test_subsets_of_subsets(project_once, choice, data):
    p, images = project_once
    q = p.subset(choice)
    second = data.draw(st.lists(st.integers(0, len(choice) - 1), min_size=1, max_size=6))
    r = q.subset(second)
    picked = [choice[i] for i in second]
    assert (r.read(slice(None)) == images[picked]).all()
    assert r.optics_group.tolist() == p.optics_group[picked].tolist()
    assert r.table["rlnDefocusU"].tolist() == p.table["rlnDefocusU"][picked].tolist()


@pytest.fixture(scope="module")
def project_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    images = np.random.default_rng(0).random((7, 4, 4), dtype=np.float32)
    for i in range(3):
        write_mrc_stack(folder / f"{i}.mrcs", images, 1.0)
    names = [f"{i + 1}@{i % 3}.mrcs" for i in range(7)]
    table = Table.from_arrays({"rlnImageName": names, "rlnDefocusU": np.arange(7.0), "rlnImagePixelSize": [2.0] * 7})
    write_star(folder / "p.star", {"particles": table})
    return read_particles(folder / "p.star"), images


def test_with_columns_and_write_round_trip(project, tmp_path):
    root, images = project
    p = read_particles(root / "Select" / "particles.star")
    q = p.with_columns(rlnClassNumber=np.arange(7) + 1, rlnDefocusU=5.0)
    assert "rlnClassNumber" not in p.table
    path = root / "Select" / "out.star"
    q.write(path)
    blocks, original = read_star(path), read_star(p.path)
    assert list(blocks) == ["general", "optics", "particles"]
    assert blocks["particles"].names == (*original["particles"].names, "rlnClassNumber")
    for name in set(original["particles"].names) - {"rlnDefocusU"}:
        assert blocks["particles"].text(name).tolist() == original["particles"].text(name).tolist()
    again = read_particles(path)
    assert again.ctf.defocus_u_A.tolist() == [5.0] * 7
    assert (again.read(slice(None)) == images).all()
    with pytest.raises(ParticleFileError, match="unknown optics group 3"):
        p.with_columns(rlnOpticsGroup=[1, 1, 1, 1, 1, 1, 3])
    moved = p.with_columns(rlnImageName=["000002@Extract/a.mrcs"] * 7)
    assert (moved.read([6]) == images[1]).all()


def test_names_stay_valid_wherever_the_file_is_written(project, tmp_path):
    root, images = project
    p = read_particles(root / "Select" / "particles.star")
    far = tmp_path / "far"
    far.mkdir()
    p.subset([1, 5]).write(far / "p.star")
    again = read_particles(far / "p.star")
    assert (again.read([0, 1]) == images[[1, 5]]).all()
    assert again.table.text("rlnImageName")[0] == f"000002@{(root / 'Extract' / 'a.mrcs').resolve()}"
    q = read_particles(p.path, project=root)
    q.write(far / "q.star")
    assert read_star(far / "q.star")["particles"].text("rlnImageName")[0] == "000001@Extract/a.mrcs"
    assert (read_particles(far / "q.star", project=root).read([4]) == images[4]).all()


def test_search_order(project, tmp_path, monkeypatch):
    root, images = project
    star = root / "Select" / "particles.star"
    assert search_folders(star, None)[:4] == (root / "Select", tmp_path / "elsewhere", root, tmp_path)
    other, here = tmp_path / "other", tmp_path / "here"
    for i, folder in enumerate((here, other)):
        (folder / "Extract").mkdir(parents=True)
        for name in ("a.mrcs", "b.mrcs"):
            write_mrc_stack(folder / "Extract" / name, np.full((4, 8, 8), i), 1.0)
    assert (read_particles(star).read([2]) == images[2]).all()
    monkeypatch.chdir(here)
    assert (read_particles(star).read([2]) == 0).all()
    assert (read_particles(star, project=other).read([2]) == 1).all()


def test_bare_stack(project):
    root, images = project
    p = read_particles(root / "Extract" / "a.mrcs")
    assert (len(p), p.box_px, p.pixel_size_A, p.has_ctf) == (4, 8, 2.5, False)
    assert (p.read([3]) == images[3]).all()
    with pytest.raises(ParticleFileError, match=r"no column rlnDefocusU \(defocus in A\).* needed for the CTF"):
        _ = p.ctf
    full = p.with_columns(rlnDefocusU=1e4, rlnVoltage=300, rlnSphericalAberration=2.7, rlnAmplitudeContrast=0.1)
    assert full.ctf.defocus_v_A.tolist() == [1e4] * 4
    inside = read_particles(root / "Extract" / "a.mrcs", project=root)
    assert inside.table.text("rlnImageName")[3] == "000004@Extract/a.mrcs"


OLD = """data_{name}
loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnMagnification #6
_rlnDetectorPixelSize #7
_rlnDefocusU #8
_rlnOriginX #9
_rlnOriginY #10
000001@a.mrcs m1 300 2.7 0.1 56000 14 12000 1.5 -2
000002@a.mrcs m1 300 2.7 0.1 56000 14 13000 0 0
000003@a.mrcs m2 200 2.7 0.1 56000 14 14000 0 0
"""


@pytest.mark.parametrize("name", ["", "images", "particles"])
def test_relion_30(project, name):
    root, images = project
    path = root / "Extract" / "old.star"
    path.write_text(OLD.format(name=name))
    p = read_particles(path)
    assert (len(p.optics), p.pixel_size_A, p.box_px) == (2, 2.5, 8)
    assert p.ctf.voltage_kV.tolist() == [300, 300, 200]
    assert p.origin_A[0].tolist() == [3.75, -5.0]
    assert (p.read([2]) == images[2]).all()
    p.write(root / "Extract" / "again.star")
    assert list(read_star(root / "Extract" / "again.star")) == [name]
    q = read_particles(path, pixel_size_A=3.0)
    assert q.pixel_size_A == 3.0
    q.write(root / "Extract" / "new.star")
    again = read_particles(root / "Extract" / "new.star")
    assert list(read_star(root / "Extract" / "new.star")) == ["optics", "particles"]
    assert again.pixel_size_A == 3.0
    assert again.ctf.voltage_kV.tolist() == [300, 300, 200]


def test_missing_pixel_size_is_asked_for(project):
    root, _ = project
    path = rewritten(root, drop=["rlnImagePixelSize"])
    with pytest.raises(ParticleFileError, match=r"no pixel size .* give it as pixel_size_A"):
        _ = read_particles(path).pixel_size_A
    assert read_particles(path, pixel_size_A=4.0).pixel_size_A == 4.0
    with pytest.raises(ValueError, match="expected a positive number"):
        read_particles(path, pixel_size_A=-1.0)
    with pytest.raises(ParticleFileError, match=r"star:\d+: mixed pixel size .*: 2.6 here, 2.5 at"):
        _ = read_particles(rewritten(root, optics={"rlnImagePixelSize": [2.5, 2.6]})).pixel_size_A
    with pytest.raises(ParticleFileError, match="pixel size 0 A; expected more than 0"):
        _ = read_particles(rewritten(root, optics={"rlnImagePixelSize": 0.0})).pixel_size_A


def test_box_size_errors(project):
    root, _ = project
    with pytest.raises(ParticleFileError, match=r"star:\d+: mixed box size"):
        _ = read_particles(rewritten(root, optics={"rlnImageSize": [8, 10]})).box_px
    with pytest.raises(ParticleFileError, match=r"rlnImageSize is 7\.5"):
        _ = read_particles(rewritten(root, optics={"rlnImageSize": [7.5, 7.5]})).box_px
    with pytest.raises(ParticleFileError, match="rlnImageSize is inf"):
        _ = read_particles(rewritten(root, optics={"rlnImageSize": [np.inf, np.inf]})).box_px
    with pytest.raises(ParticleFileError, match="mixed boxes"):
        read_particles(rewritten(root, optics={"rlnImageSize": [10**6, 10**6]})).read([0, 1])
    with pytest.raises(ParticleFileError, match=r"particle 1 .*mixed boxes: images of .*a\.mrcs are 8 pixels wide"):
        read_particles(rewritten(root, optics={"rlnImageSize": [16, 16]})).read([0])
    write_mrc_stack(root / "Extract" / "b.mrcs", np.zeros((3, 6, 6)), 2.5)
    p = read_particles(rewritten(root, drop=["rlnImageSize"]))
    assert p.box_px == 8
    with pytest.raises(ParticleFileError, match=r"particle 5 \(.*star:\d+\): mixed boxes: .*b\.mrcs"):
        p.read([0, 4])


def test_image_errors(project):
    root, images = project
    names = read_star(root / "Select" / "particles.star")["particles"].text("rlnImageName")
    names[3], names[5] = "000005@Extract/a.mrcs", "000001@Extract/c.mrcs"
    p = read_particles(rewritten(root, particles={"rlnImageName": names}))
    line = p.table.where(3).rsplit(":")[-1]
    with pytest.raises(ParticleFileError, match=rf"particle 4 .*star:{line}\): image 5 is beyond the stack .*a\.mrcs"):
        p.read([0, 3])
    with pytest.raises(ParticleFileError, match=r"particle 6 .*image file Extract/c\.mrcs was not found; looked in"):
        p.read([5])
    raw = (root / "Extract" / "b.mrcs").read_bytes()
    (root / "Extract" / "b.mrcs").write_bytes(raw[:-10])
    with pytest.raises(ParticleFileError, match=r"particle 5 .*b\.mrcs: truncated"):
        p.read([4])
    readable = find_readable(p)
    assert readable.mask.tolist() == [True, True, True, False, False, False, False]
    assert readable.beyond_stack.tolist() == [3]
    assert readable.unreadable.tolist() == [4, 5, 6]
    assert (p.subset(readable.mask).read(slice(None)) == images[:3]).all()


@pytest.mark.parametrize("bad", ["0@a.mrcs", "-1@a.mrcs", "x@a.mrcs", "1@", "@a.mrcs", "1.5@a.mrcs", "9" * 30 + "@a"])
def test_malformed_image_names(project, bad):
    root, _ = project
    path = rewritten(root, particles={"rlnImageName": [bad] * 7})
    with pytest.raises(ParticleFileError, match=r"star:\d+: rlnImageName is .*; expected something like 000001@"):
        read_particles(path)


def test_a_name_without_number_is_the_first_image(project):
    root, images = project
    p = read_particles(rewritten(root, particles={"rlnImageName": ["Extract/a.mrcs"] * 7}))
    assert (p.read([6]) == images[0]).all()


def test_table_errors(project):
    root, _ = project
    with pytest.raises(ParticleFileError, match="no column rlnImageName, needed for finding the images"):
        read_particles(rewritten(root, drop=["rlnImageName"]))
    with pytest.raises(ParticleFileError, match=r"star:\d+: unknown optics group 3; the optics table has 1, 2"):
        read_particles(rewritten(root, particles={"rlnOpticsGroup": [1, 2, 3, 1, 1, 1, 1]}))
    with pytest.raises(ParticleFileError, match="occurs twice in the optics table"):
        read_particles(rewritten(root, optics={"rlnOpticsGroup": [1, 1]}))
    with pytest.raises(ParticleFileError, match=r"star:\d+: rlnOpticsGroup is 'one'; expected a number"):
        read_particles(rewritten(root, particles={"rlnOpticsGroup": ["one"] * 7}))
    with pytest.raises(ParticleFileError, match=r"star:\d+: blob/sign is 0; expected 1 or -1"):
        read_particles(rewritten(root, particles={"blob/sign": 0}))
    old = root / "old.star"
    old.write_text(OLD.format(name="images").replace(" 56000 14 13000", " 0 14 13000"))
    with pytest.raises(ParticleFileError, match=r"old\.star:14: rlnMagnification is 0; expected more than 0"):
        read_particles(old)
    with pytest.raises(ParticleFileError, match=r"no column rlnAmplitudeContrast .* needed for the CTF"):
        _ = read_particles(rewritten(root, drop=["rlnAmplitudeContrast"])).ctf
    with pytest.raises(ParticleFileError, match=r"star:\d+: rlnDefocusU is 'low'; expected a number"):
        _ = read_particles(rewritten(root, particles={"rlnDefocusU": ["low"] * 7})).ctf
    path = root / "empty.star"
    path.write_text("data_particles\nloop_\n_rlnImageName\n_rlnDefocusU\n")
    with pytest.raises(ParticleFileError, match="the table data_particles is empty"):
        read_particles(path)
    path.write_text("data_micrographs\nloop_\n_rlnMicrographName\nm1\n")
    with pytest.raises(ParticleFileError, match=r"no block has .*rlnImageName; blocks are data_micrographs"):
        read_particles(path)
    with pytest.raises(ParticleFileError, match="is a directory; expected particles"):
        read_particles(root)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.star does not exist"):
        read_particles(root / "nowhere.star")


def test_one_optics_group_needs_no_column(project):
    root, _ = project
    blocks = read_star(root / "Select" / "particles.star")
    blocks["optics"] = blocks["optics"].take(np.array([0]))
    blocks["particles"] = blocks["particles"].without(["rlnOpticsGroup"])
    write_star(root / "one.star", blocks)
    assert read_particles(root / "one.star").ctf.voltage_kV.tolist() == [300] * 7
