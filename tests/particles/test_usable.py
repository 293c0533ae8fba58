"""Which particles can be used is judged in one place, over all of them, and carried by the set into every reading."""

import numpy as np
import pytest

from vitreous.particles import (
    ParticleFileError,
    ParticleSet,
    Table,
    check_particles,
    judge,
    judged,
    read_particles,
    read_star,
    write_mrc_stack,
    write_star,
)

N, L = 48, 24
OPTICS = {"rlnVoltage": 300.0, "rlnSphericalAberration": 2.7, "rlnAmplitudeContrast": 0.1, "rlnImagePixelSize": 3.0}


def noise(seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, L, L)).astype(np.float32)


@pytest.fixture
def make(tmp_path):
    """Write images and a STAR file, and read it."""

    def build(images=None, *, names=None, optics=None, **columns) -> ParticleSet:
        images = noise() if images is None else images
        write_mrc_stack(tmp_path / "p.mrcs", images, 3.0)
        names = [f"{i + 1:06d}@p.mrcs" for i in range(len(images))] if names is None else names
        table = {
            "rlnImageName": names,
            "rlnOpticsGroup": [1] * len(names),
            "rlnDefocusU": 15000.0 + np.arange(len(names)),
        }
        group = {"rlnOpticsGroup": [1], **{name: [value] for name, value in (OPTICS | (optics or {})).items()}}
        blocks = {"optics": Table.from_arrays(group), "particles": Table.from_arrays(table | columns)}
        write_star(tmp_path / "p.star", blocks)
        return read_particles(tmp_path / "p.star")

    return build


def changed(values: np.ndarray, **at) -> np.ndarray:
    values = np.array(values, dtype=float)
    for row, value in at.items():
        values[int(row[1:])] = value
    return values


def reasons(p: ParticleSet, **options) -> dict[str, list[int]]:
    return {fault.kind: fault.rows.tolist() for fault in judge(p, **options).faults if len(fault.rows)}


@pytest.mark.parametrize("value", [1e2, 1e4, 1e6, -1e6, 3e37])
def test_a_hot_pixel_becomes_background_and_nothing_else_changes(make, value):
    images = noise()
    images[5, 12, 12] = value
    p = judged(make(images))
    assert not p.bad.any()
    read = p.read(slice(None))
    assert abs(read[5, 12, 12]) < 1, "the median of the background, whose standard deviation is 1"
    read[5, 12, 12] = images[5, 12, 12]
    assert np.array_equal(read, images)
    assert "1 particle with pixels that neither noise nor particles have (6)" in p.usable.words[0]
    assert check_particles(p).mended == (5,)


@pytest.mark.parametrize("box", [1, 2, 3, 4])
def test_boxes_of_hardly_any_pixels_are_judged_too(make, box):
    images = np.random.default_rng(0).normal(size=(60, box, box)).astype(np.float32)
    assert judge(make(images)).images_checked == 60


def test_a_bad_line_and_a_dead_one_become_background(make):
    images = 100 + 10 * noise()
    images[3, :, 7], images[4, 9, :] = 4000, -5000
    read = judged(make(images)).read([3, 4])
    assert np.abs(read - 100).max() < 60, "six standard deviations: what 24^2 pixels of noise reach"


def test_clean_images_are_read_as_they_are(make):
    rng = np.random.default_rng(1)
    disc = np.hypot(*np.mgrid[-L // 2 : L // 2, -L // 2 : L // 2]) < 7
    for strength, spread in ((0.3, 1.0), (5.0, 1.0), (1.0, 0.0)):
        images = (strength * rng.random((N, 1, 1)) * disc + spread * noise(2)).astype(np.float32)
        p = judged(make(images))
        assert np.array_equal(p.read(slice(None)), images), (strength, spread)
        assert not p.bad.any()


def test_averages_of_all_sizes_are_not_taken_for_outliers(make):
    """The background of an average of 10,000 particles is 30 times smaller than that of one of 10: both stay."""
    y, x = np.mgrid[-L // 2 : L // 2, -L // 2 : L // 2]
    clean = np.exp(-(x**2 + y**2) / 30) + 0.7 * np.exp(-((x - 4) ** 2 + (y + 3) ** 2) / 6)
    sd = np.geomspace(0.01, 0.3, N)[:, None, None]
    images = (clean + sd * noise()).astype(np.float32)
    p = judged(make(images))
    assert np.array_equal(p.read(slice(None)), images)
    assert not p.bad.any()


def test_a_particle_of_another_kind_is_refused(make):
    images = noise()
    images[7] += 2000 * (np.hypot(*np.mgrid[-L // 2 : L // 2, -L // 2 : L // 2]) < 8)
    images[9] = np.minimum(images[9], 0)
    images[11] *= 1000
    found = reasons(make(images))
    assert found == {
        "far stronger than all others": [7],
        "that are saturated": [9],
        "on another scale than all others": [11],
    }


def test_two_percent_of_hot_particles_move_neither_contrast_nor_noise(make):
    disc = np.hypot(*np.mgrid[-L // 2 : L // 2, -L // 2 : L // 2]) < 6
    clean = noise(n=200) + 0.3 * disc.astype(np.float32)
    before = check_particles(make(clean)).contrast
    hot = clean.copy()
    hot[:4, 12, 12] = 1e5
    after = check_particles(make(hot)).contrast
    assert (before.verdict, after.verdict) == ("white", "white")
    assert after.difference == pytest.approx(before.difference, abs=2 * before.standard_error)


def test_every_reason_is_counted_over_all_particles_and_named_by_row(make, tmp_path):
    images = noise()
    images[1, 0, 0], images[2] = np.nan, 4.0
    write_mrc_stack(tmp_path / "small.mrcs", noise()[:2, :16, :16], 3.0)
    (tmp_path / "half.mrcs").write_bytes((tmp_path / "small.mrcs").read_bytes()[:1500])
    (tmp_path / "empty.mrcs").write_bytes(b"")
    (tmp_path / "foreign.mrcs").write_bytes(b"this is a text\n" * 200)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(N)]
    for row, name in enumerate(("gone", "half", "empty", "foreign", "small"), 10):
        names[row] = f"000001@{name}.mrcs"
    names[20] = "000099@p.mrcs"
    p = make(
        images,
        names=names,
        rlnDefocusU=changed(np.full(N, 15000), _30=np.nan, _31=np.inf),
        rlnDefocusAngle=changed(np.zeros(N), _32=np.nan),
        rlnPhaseShift=changed(np.zeros(N), _33=-np.inf),
        rlnOriginXAngst=changed(np.zeros(N), _34=np.nan, _35=1e5),
        rlnAnglePsi=changed(np.zeros(N), _36=np.nan),
        rlnAmplitudeContrast=changed(np.full(N, 0.1), _37=-3.0),
    )
    assert reasons(p) == {
        "without a readable image": [10, 11, 12, 13],
        "with images of another box": [14],
        "beyond the end of their stack": [20],
        "with NaN or infinite pixels": [1],
        "with all pixels equal": [2],
        "with CTF parameters that are not finite": [30, 31, 32, 33],
        "with an impossible rlnAmplitudeContrast": [37],
        "with an angle that is not a number": [36],
        "with a shift that is not a number": [34],
        "with a shift that leads out of the image": [35],
    }
    ready = judged(p)
    assert ready.bad.sum() == 16
    assert (ready.read(ready.bad) == 0).all()
    assert (ready.read([0, 3]) == images[[0, 3]]).all()
    assert np.isfinite(np.stack(list(vars(ready.ctf).values()))).all()
    assert np.isfinite(ready.origin_A).all()
    assert ready.subset([1, 0, 20]).bad.tolist() == [True, False, True]
    ready.write(tmp_path / "out.star")
    assert read_star(tmp_path / "out.star")["particles"].text("rlnDefocusU")[30] == "nan", "rows are carried through"
    without = reasons(p, ctf=False, poses=False)
    assert sum(map(len, without.values())) == 8, "what a job does not look at does not matter to it"


def test_more_than_half_is_a_fault_of_the_set(make):
    p = make(rlnDefocusU=changed(np.full(N, np.nan), **{f"_{i}": 1e4 for i in range(N // 2 - 1)}))
    with pytest.raises(ParticleFileError, match=r"25 of 48 .* more than half.*not finite \(24, 25"):
        judged(p)
    assert not check_particles(p).can_run
    p = make(rlnDefocusU=changed(np.full(N, np.nan), **{f"_{i}": 1e4 for i in range(N // 2)}))
    assert judged(p).bad.sum() == N // 2


@pytest.mark.parametrize(
    ("columns", "optics", "said"),
    [
        ({"rlnDefocusU": np.full(N, 1.5)}, {}, r"a defocus in micrometres \(rlnDefocusU\).*multiply by 10000"),
        ({"rlnDefocusU": np.full(N, -15000.0)}, {}, "a negative defocus.*change the sign"),
        ({"rlnDefocusU": np.full(N, 1.5e6)}, {}, "a defocus of more than 30 micrometres"),
        ({}, {"rlnVoltage": 300000.0}, "a voltage in volts.*divide by 1000"),
        ({}, {"rlnVoltage": 0.0}, "a voltage that no microscope has.*expected kilovolts"),
        ({}, {"rlnSphericalAberration": 2700.0}, "a Cs in micrometres.*divide by 1000"),
        ({}, {"rlnAmplitudeContrast": 10.0}, "an amplitude contrast in per cent.*divide by 100"),
        ({}, {"rlnCtfBfactor": -100.0}, "a negative B-factor"),
    ],
)
def test_implausible_optics_are_refused_with_the_likely_unit(make, columns, optics, said):
    p = make(optics=optics, **columns)
    with pytest.raises(ParticleFileError, match=said):
        judged(p)
    assert not judged(p, ctf=False).bad.any()


def test_optics_that_microscopes_have_are_accepted(make):
    for optics in (
        {"rlnVoltage": 80.0},
        {"rlnVoltage": 1000.0},
        {"rlnSphericalAberration": 0.0},
        {"rlnSphericalAberration": -0.01},
        {"rlnAmplitudeContrast": 0.0},
        {"rlnAmplitudeContrast": 1.0},
        {"rlnCtfBfactor": 200.0},
        {"rlnPhaseShift": 90.0},
    ):
        assert not judged(make(optics=optics)).bad.any(), optics
    in_focus = changed(np.full(N, 5000.0), _3=12.0, _4=-300.0)
    assert not judged(make(rlnDefocusU=in_focus)).bad.any(), "some particles may be in focus"


def test_repeated_images_are_counted_and_one_is_kept(make):
    images = noise()
    images[10] = images[20]
    names = [f"{i + 1:06d}@p.mrcs" for i in range(N)]
    names[5] = names[6] = names[4]
    x = np.arange(N, dtype=float)
    x[31] = x[30]
    p = make(images, names=names, rlnMicrographName=["m"] * N, rlnCoordinateX=x, rlnCoordinateY=np.zeros(N))
    assert reasons(p) == {
        "that repeat the image of another": [5, 6],
        "whose pixels are those of another": [20],
        "of the same place in a micrograph as another": [31],
    }
    turned = make(names=["000001@p.mrcs"] * N, rlnAngleRot=np.arange(N))
    assert not judged(turned).bad.any(), "a symmetry expansion lists every image in several poses"
    assert judged(turned, poses=False).bad.sum() == N - 1
    nowhere = make(rlnMicrographName=["m"] * N, rlnCoordinateX=np.zeros(N), rlnCoordinateY=np.zeros(N))
    assert not judged(nowhere).bad.any(), "columns of zeros are no coordinates"


def test_pixel_sizes_that_the_data_cannot_tell_apart(make):
    p = make(rlnImagePixelSize=changed(np.full(N, 3.0), _0=3.015))
    assert judged(p).pixel_size_A == pytest.approx(3.0 + 0.015 / N, rel=1e-5)
    assert any("are taken as" in text for text in check_particles(p).warnings)
    p = make(rlnImagePixelSize=changed(np.full(N, 3.0), _0=3.1))
    with pytest.raises(ParticleFileError, match=r"mixed pixel size.*--angpix"):
        judged(p)


def test_what_is_not_used_is_named(make):
    optics = {"rlnMagMat00": 1.05, "rlnMagMat01": 0.0, "rlnBeamTiltX": 0.4, "rlnBeamTiltY": 0.0, "rlnOddZernike": 0.0}
    text = "\n".join(check_particles(make(optics=optics)).warnings)
    assert "not used: anisotropic magnification (rlnMagMat00)" in text
    assert "not used: beam tilt (rlnBeamTiltX)" in text
    assert "Zernike" not in text


def test_subtomograms_are_refused(make):
    with pytest.raises(ParticleFileError, match="subtomograms"):
        judged(make(optics={"rlnImageDimensionality": 3}))


@pytest.mark.parametrize("applied", ["none", "phases", "full"])
def test_what_has_been_done_about_the_ctf_can_be_said_and_is_kept(make, tmp_path, applied):
    p = read_particles(make().path, ctf_applied=applied)
    p.write(tmp_path / "again.star")
    for q in (p, read_particles(tmp_path / "again.star")):
        assert q.ctf.phase_flipped.tolist() == [applied == "phases"] * N
        assert q.ctf.premultiplied.tolist() == [applied == "full"] * N
    if applied == "full":
        with pytest.raises(ParticleFileError, match="premultiplied"):
            p.ctf_for(True)
    assert p.ctf_for(True, premultiplied=True) is p.ctf
    with pytest.raises(ValueError, match="ctf_applied: expected one of none, phases, full"):
        read_particles(p.path, ctf_applied="half")
