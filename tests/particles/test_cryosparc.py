import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitreous.particles import ParticleFileError, judged, read_particles, write_mrc_stack

FIELDS = [
    ("uid", "<u8"), ("blob/path", "S40"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)), ("blob/psize_A", "<f4"),
    ("blob/sign", "<f4"), ("ctf/exp_group_id", "<u4"), ("ctf/accel_kv", "<f4"), ("ctf/cs_mm", "<f4"),
    ("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"), ("ctf/df2_A", "<f4"), ("ctf/df_angle_rad", "<f4"),
    ("ctf/phase_shift_rad", "<f4"),
]  # fmt: skip
ALIGNMENTS = [
    ("uid", "<u8"), ("alignments3D/pose", "<f4", (3,)), ("alignments3D/shift", "<f4", (2,)),
    ("alignments3D/psize_A", "<f4"), ("alignments3D/split", "<u4"), ("alignments2D/class", "<u4"),
    ("location/micrograph_path", "S20"), ("location/micrograph_shape", "<u4", (2,)),
    ("location/center_x_frac", "<f4"), ("location/center_y_frac", "<f4"),
]  # fmt: skip
N = 6


def save(path, array):
    with path.open("wb") as file:
        np.save(file, array)
    return path


@pytest.fixture
def exported(tmp_path):
    """(main .cs, passthrough .cs in another order, images)."""
    rng = np.random.default_rng(3)
    images = rng.normal(size=(N, 8, 8)).astype(np.float32)
    (tmp_path / "J1").mkdir()
    write_mrc_stack(tmp_path / "J1" / "a.mrc", images, 1.5)
    main = np.zeros(N, dtype=FIELDS)
    main["uid"] = rng.integers(2**63, 2**64 - 1, N, dtype=np.uint64)
    main["blob/path"], main["blob/idx"] = b">J1/a.mrc", np.arange(N)[::-1]
    main["blob/shape"], main["blob/psize_A"], main["blob/sign"] = 8, 1.31, -1
    main["ctf/exp_group_id"] = [7, 7, 9, 9, 9, 7]
    main["ctf/accel_kv"], main["ctf/cs_mm"], main["ctf/amp_contrast"] = 300, 2.7, 0.1
    main["ctf/df1_A"], main["ctf/df2_A"] = 15000 + np.arange(N), 14000
    main["ctf/df_angle_rad"], main["ctf/phase_shift_rad"] = 0.5, np.pi / 2
    more = np.zeros(N, dtype=ALIGNMENTS)
    more["uid"] = main["uid"]
    more["alignments3D/pose"] = rng.normal(size=(N, 3))
    more["alignments3D/pose"][0] = 0, 0, 0.3
    more["alignments3D/shift"], more["alignments3D/psize_A"] = np.arange(2 * N).reshape(N, 2), 2.62
    more["alignments3D/split"], more["alignments2D/class"] = np.arange(N) % 2, np.arange(N)
    more["location/micrograph_path"], more["location/micrograph_shape"] = b"J0/m.mrc", (1000, 2000)
    more["location/center_x_frac"], more["location/center_y_frac"] = 0.25, 0.125
    cs = save(tmp_path / "particles.cs", main)
    return cs, save(tmp_path / "passthrough.cs", more[rng.permutation(N)]), main, more, images


def test_relion_terms(exported):
    cs, passthrough, _, more, images = exported
    p = read_particles(cs, passthrough=[passthrough])
    assert (len(p), p.box_px, p.pixel_size_A) == (N, 8, 1.31)
    assert p.table.text("rlnImageName")[0] == "000006@J1/a.mrc:mrcs", "RELION reads stacks by this name"
    assert p.optics_group.tolist() == [0, 0, 1, 1, 1, 0]
    assert p.optics["ctf/exp_group_id"].tolist() == [7, 9]
    assert p.ctf.defocus_u_A.tolist() == [15000, 15001, 15002, 15003, 15004, 15005]
    assert p.ctf.defocus_angle_deg == pytest.approx(np.rad2deg(0.5))
    assert p.ctf.phase_shift_deg == pytest.approx(90)
    assert p.ctf.amplitude_contrast == pytest.approx(0.1)
    assert p.micrograph_names == ("J0/m.mrc",)
    assert p.table["rlnCoordinateX"] == pytest.approx(500)
    assert p.table["rlnCoordinateY"] == pytest.approx(875)
    assert "rlnClassNumber" not in p.table, "a class of the 2D alignment does not go with a pose in 3D"
    assert p.table["rlnRandomSubset"].tolist() == [1, 2, 1, 2, 1, 2]
    assert p.origin_A == pytest.approx(np.arange(2 * N).reshape(N, 2) * 2.62, rel=1e-6)
    angles = np.stack([p.table[f"rlnAngle{a}"] for a in ("Rot", "Tilt", "Psi")], axis=1)
    expected = Rotation.from_rotvec(more["alignments3D/pose"].astype(np.float64)).as_matrix()
    assert Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix() == pytest.approx(expected, abs=1e-7)
    assert angles[0] == pytest.approx([0, 0, np.rad2deg(0.3)], abs=1e-4)
    assert (p.read(slice(None)) == -images[::-1]).all()


def test_nothing_is_lost_and_star_round_trip(exported, tmp_path):
    cs, passthrough, main, more, _ = exported
    p = read_particles(cs, passthrough=[passthrough])
    p.write(tmp_path / "out.star")
    again = read_particles(tmp_path / "out.star")
    for source in (main, more):
        for name in source.dtype.names:
            flat = source[name].reshape(N, -1)
            for i in range(flat.shape[1]):
                column = again.table[name if source[name].ndim == 1 else f"{name}/{i}"]
                expected = flat[:, i].astype(str) if flat.dtype.kind == "S" else flat[:, i]
                assert (column.astype(expected.dtype) == expected).all()
    assert again.table["uid"].dtype == np.uint64
    assert (again.read([2, 0]) == p.read([2, 0])).all()
    assert (again.ctf.defocus_u_A == p.ctf.defocus_u_A).all()


def test_two_dimensional_alignments(exported, tmp_path):
    _, _, main, _, _ = exported
    extra = [("alignments2D/pose", "<f4"), ("alignments2D/shift", "<f4", (2,))]
    array = np.zeros(N, dtype=FIELDS + extra)
    for name, *_ in FIELDS:
        array[name] = main[name]
    array["alignments2D/pose"], array["alignments2D/shift"] = 1.0, (2.0, -1.0)
    p = read_particles(save(tmp_path / "b.cs", array))
    assert p.table["rlnAnglePsi"] == pytest.approx(np.rad2deg(1.0))
    assert p.origin_A[0] == pytest.approx([2.62, -1.31], rel=1e-6)
    assert "rlnAngleRot" not in p.table


def test_many_fields(exported, tmp_path):
    _, _, main, _, _ = exported
    array = np.zeros(N, dtype=FIELDS + [(f"sym_expand/some_long_field_name_{i}", "<f4") for i in range(400)])
    for name, *_ in FIELDS:
        array[name] = main[name]
    path = save(tmp_path / "b.cs", array)
    assert len(read_particles(path).table.names) > 400


def test_errors(exported, tmp_path):
    cs, _, main, more, _ = exported
    with pytest.raises(ParticleFileError, match=r"1 of 6 particles of .* are not in this passthrough file"):
        read_particles(cs, passthrough=[save(tmp_path / "x.cs", more[1:])])
    twice = more.copy()
    twice["uid"][1] = twice["uid"][0]
    with pytest.raises(ParticleFileError, match="a uid occurs twice"):
        read_particles(cs, passthrough=[save(tmp_path / "x.cs", twice)])
    with pytest.raises(ParticleFileError, match="need the field uid"):
        read_particles(cs, passthrough=[save(tmp_path / "x.cs", np.zeros(2, dtype=[("a", "<f4")]))])
    with pytest.raises(ParticleFileError, match="no field blob/path, needed for finding the images"):
        read_particles(save(tmp_path / "x.cs", more))
    with pytest.raises(ParticleFileError, match="the table is empty"):
        read_particles(save(tmp_path / "x.cs", main[:0]))
    with pytest.raises(ParticleFileError, match="expected a table"):
        read_particles(save(tmp_path / "x.cs", np.zeros(3)))
    with pytest.raises(ParticleFileError, match="Python objects"):
        read_particles(save(tmp_path / "x.cs", np.zeros(3, dtype=[("a", object)])))
    odd = np.zeros(2, dtype=[("blob/path", "S4"), ("blob/idx", "<u4", (2,))])
    with pytest.raises(ParticleFileError, match="field blob/idx has 2 values of type uint32; expected 1 of kind iu"):
        read_particles(save(tmp_path / "x.cs", odd))
    (tmp_path / "x.cs").write_bytes(cs.read_bytes()[:-5])
    with pytest.raises(ParticleFileError, match="truncated: 6 particles"):
        read_particles(tmp_path / "x.cs")
    (tmp_path / "x.cs").write_bytes(b"\x94CSDAT" + bytes(100))
    with pytest.raises(ParticleFileError, match="CSDAT"):
        read_particles(tmp_path / "x.cs")
    (tmp_path / "x.cs").write_bytes(b"data_particles\n")
    with pytest.raises(ParticleFileError, match=r"not a cryoSPARC \.cs file"):
        read_particles(tmp_path / "x.cs")
    main["blob/shape"][0] = 0
    with pytest.raises(ParticleFileError, match="mixed box size"):
        _ = read_particles(save(tmp_path / "x.cs", main)).box_px
    with pytest.raises(ValueError, match=r"passthrough files belong to a cryoSPARC"):
        read_particles(tmp_path / "J1" / "a.mrc", passthrough=[cs])


def both_alignments(exported, tmp_path):
    cs, _, main, more, _ = exported
    fields = [*FIELDS, *ALIGNMENTS[1:5], ("alignments3D/class", "<u4"), ("alignments2D/pose", "<f4")]
    fields += [("alignments2D/shift", "<f4", (2,)), ("alignments2D/psize_A", "<f4"), ("alignments2D/class", "<u4")]
    table = np.zeros(N, dtype=fields)
    for source in (main, more):
        for name in set(source.dtype.names) & set(table.dtype.names):
            table[name] = source[name]
    table["alignments2D/pose"], table["alignments2D/psize_A"] = np.arange(N) * 0.1, 2.0
    return cs, table


def test_class_angles_and_shifts_are_of_one_alignment(exported, tmp_path):
    cs, table = both_alignments(exported, tmp_path)
    save(cs, table)
    volume, classes = read_particles(cs), read_particles(cs, alignment="2D")
    assert set(volume.table["rlnClassNumber"]) == {1}
    assert classes.table["rlnClassNumber"].tolist() == [1, 2, 3, 4, 5, 6]
    assert classes.table["rlnAnglePsi"] == pytest.approx(np.rad2deg(0.1) * np.arange(N), abs=1e-4)
    assert (classes.origin_A == 0).all()
    assert (volume.origin_A != 0).any()
    assert "rlnAngleTilt" not in classes.table
    assert any("those of alignments3D; not used: alignments2D" in text for text in volume.notes)


def test_one_pose_that_is_no_number_is_one_bad_particle(exported, tmp_path):
    cs, table = both_alignments(exported, tmp_path)
    table["alignments3D/pose"][3], table["alignments3D/shift"] = np.nan, 1.0
    save(cs, table)
    p = judged(read_particles(cs))
    assert np.flatnonzero(p.bad).tolist() == [3]
    assert np.isfinite(p.angles_deg).all()


def test_the_likeliest_of_several_classes(exported, tmp_path):
    cs, _, main, _, _ = exported
    multi = [("alignments3D_multi/pose", "<f4", (2, 3)), ("alignments3D_multi/shift", "<f4", (2, 2))]
    multi += [("alignments3D_multi/class_posterior", "<f4", (2,)), ("alignments3D_multi/psize_A", "<f4")]
    table = np.zeros(N, dtype=[*FIELDS, *multi])
    for name in main.dtype.names:
        table[name] = main[name]
    best = np.arange(N) % 2
    table["alignments3D_multi/class_posterior"][np.arange(N), best] = 1
    table["alignments3D_multi/pose"][:, 1, 2] = 0.5
    table["alignments3D_multi/shift"][:, 1] = 3
    table["alignments3D_multi/psize_A"] = 2.0
    save(cs, table)
    p = read_particles(cs)
    assert p.table["rlnClassNumber"].tolist() == (best + 1).tolist()
    assert p.table["rlnAnglePsi"] == pytest.approx(np.rad2deg(0.5) * best, abs=1e-4)
    assert p.origin_A[:, 0] == pytest.approx(6.0 * best)


def test_numbers_in_nested_forms_are_the_same_numbers(exported, tmp_path):
    main = np.load(exported[0])
    forms = {"ctf/cs_mm": ("<f4", (1,)), "blob/shape": ("<u4", (2, 1))}
    nested = np.zeros(N, dtype=[(name, *forms.get(name, (main.dtype[name],))) for name in main.dtype.names or ()])
    for name in main.dtype.names:
        nested[name] = main[name].reshape(nested[name].shape)
    found, same = (read_particles(file).table for file in (save(tmp_path / "nested.cs", nested), exported[0]))
    for name in ("rlnImageName", "rlnOpticsGroup", "rlnDefocusU"):
        assert list(found[name]) == list(same[name])
