"""``vitreous extract``: boxes are what stands in the micrograph, with its CTF; what is left out; shifts; going on."""

from dataclasses import replace

import mrcfile
import numpy as np
import pytest
import torch

from vitreous.fourier import centred_irfft2, centred_rfft2, shift_phase
from vitreous.iterate import Interrupted
from vitreous.jobs import read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks import extract
from vitreous.jobs.tasks.extract import run_extract
from vitreous.jobs.tasks.pick import run_pick
from vitreous.micrographs import Extract, Pick, read_coordinates
from vitreous.particles import Table, read_particles, read_star, write_star

PIXEL_A, BOX = 10.0, 24
CENTRES = ((40.0, 45.0), (90.3, 50.6))  # x, y of the particles
QUICK = RunOptions(threads=1)


def write_micrographs(folder, n, noise=1.0):
    """n micrographs with dark blobs at CENTRES, and their list with a defocus of 10000 A and 100 A more for each."""
    y, x = np.mgrid[:96, :128]
    signal = sum(6.0 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18.0) for u, v in CENTRES)
    for i in range(n):
        picture = 50.0 - signal + noise * np.random.default_rng(i).normal(size=(96, 128))
        picture[3, 3] = 9000.0
        with mrcfile.new(folder / f"m{i}.mrc", overwrite=True) as file:
            file.set_data(picture.astype(np.float32))
            file.voxel_size = PIXEL_A
    optics = Table.from_arrays({"rlnOpticsGroupName": ["g"], "rlnOpticsGroup": [1], "rlnVoltage": [300.0],
                                "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]})  # fmt: skip
    mics = Table.from_arrays({"rlnMicrographName": [f"m{i}.mrc" for i in range(n)], "rlnOpticsGroup": [1] * n,
                              "rlnDefocusU": [10000.0 + 100 * i for i in range(n)],
                              "rlnDefocusV": [9900.0 + 100 * i for i in range(n)],
                              "rlnDefocusAngle": [7.0] * n})  # fmt: skip
    write_star(folder / "mics.star", {"optics": optics, "micrographs": mics})


def write_picks(folder, places, n=1, **columns):
    """The same places in n micrographs."""
    xy = np.tile(np.array(places, dtype=float), (n, 1))
    table = {"rlnMicrographName": [f"m{i}.mrc" for i in range(n) for _ in places], "rlnCoordinateX": xy[:, 0],
             "rlnCoordinateY": xy[:, 1], **columns}  # fmt: skip
    write_star(folder / "picks.star", {"particles": Table.from_arrays(table)})
    return folder / "picks.star"


def centre_of(image):
    """x, y of the middle of a white blob from the pixel at half the side."""
    axis = np.arange(len(image)) - len(image) // 2
    weight = np.where(image > 0.3 * image.max(), image, 0.0)
    return np.array([(weight.sum(axis=0) * axis).sum(), (weight.sum(axis=1) * axis).sum()]) / weight.sum()


def test_boxes_are_cuts_of_their_micrographs_with_their_ctf(tmp_path):
    write_micrographs(tmp_path, 2)
    picks = write_picks(tmp_path, [(40.2, 45.4), (5.0, 45.0)], n=2, rlnAutopickFigureOfMerit=[4.0, 3.0, 2.0, 1.0])
    run_extract(
        (picks,), tmp_path / "o", Extract(box_px=BOX, diameter_A=150.0), QUICK, micrographs=tmp_path / "mics.star"
    )
    found = read_particles(tmp_path / "o/particles.star")
    assert (len(found), found.box_px, found.pixel_size_A) == (2, BOX, PIXEL_A)
    assert found.ctf.defocus_u_A.tolist() == [10000.0, 10100.0]
    assert found.ctf.voltage_kV.tolist() == [300.0, 300.0]
    assert found.table.numbers("rlnAutopickFigureOfMerit").tolist() == [4.0, 2.0]
    assert found.table.numbers("rlnCoordinateX").tolist() == [40.0, 40.0]
    assert found.optics.numbers("rlnMicrographPixelSize").tolist() == [PIXEL_A]
    for i, image in enumerate(found.read(slice(None))):
        with mrcfile.open(tmp_path / f"m{i}.mrc") as file:
            cut = -file.data[45 - 12 : 45 + 12, 40 - 12 : 40 + 12].astype(float)
        y, x = np.mgrid[:BOX, :BOX].reshape(2, -1)
        basis = np.stack([cut.ravel(), np.ones(x.size), x, y], axis=1)  # contrast and a plane
        fit, *_ = np.linalg.lstsq(basis, image.ravel().astype(float), rcond=None)
        assert fit[0] > 0
        assert np.abs(basis @ fit - image.ravel()).max() < 1e-3
    left = read_star(tmp_path / "o/left_out.star")["left_out"]
    assert left.text("vtrReason").tolist() == ["edge", "edge"]
    assert left.numbers("rlnCoordinateX").tolist() == [5.0, 5.0]
    assert read_star(tmp_path / "o/micrographs.star")["micrographs"].numbers("vtrHotPixels").min() >= 1


def test_a_particle_off_the_centre_comes_back_centred(tmp_path):
    write_micrographs(tmp_path, 1, noise=0.01)
    settings, micrographs = Extract(box_px=BOX, diameter_A=120.0), tmp_path / "mics.star"
    picks = write_picks(tmp_path, [(87.0, 53.0), (41.0, 44.0)])
    run_extract((picks,), tmp_path / "first", settings, QUICK, micrographs=micrographs)
    found = read_particles(tmp_path / "first/particles.star")
    images = torch.from_numpy(found.read(slice(None)))
    shift_px = np.array([-centre_of(image) for image in images.numpy()])
    moved = centred_irfft2(centred_rfft2(images) * shift_phase(torch.from_numpy(shift_px).float(), BOX), BOX)
    assert np.abs([centre_of(image) for image in moved.numpy()]).max() < 0.1  # so these are the shifts of conventions
    assert np.abs(shift_px[0]).min() > 2
    poses = found.with_columns(rlnOriginXAngst=shift_px[:, 0] * PIXEL_A, rlnOriginYAngst=shift_px[:, 1] * PIXEL_A)
    poses.write(tmp_path / "run_data.star")
    again = Extract(box_px=BOX, diameter_A=120.0, recenter=True, downsample_to_px=BOX // 2)
    run_extract((tmp_path / "run_data.star",), tmp_path / "again", again, QUICK, micrographs=micrographs)
    centred = read_particles(tmp_path / "again/particles.star")
    assert (centred.box_px, centred.pixel_size_A) == (BOX // 2, 2 * PIXEL_A)
    rest_px = centred.origin_A / PIXEL_A
    assert np.abs(rest_px).max() <= 0.5
    where = np.stack([centred.table.numbers(f"rlnCoordinate{axis}") for axis in "XY"], axis=1) - rest_px
    assert np.abs(where - np.array([CENTRES[1], CENTRES[0]])).max() < 0.15
    for image, rest in zip(centred.read(slice(None)), rest_px, strict=True):
        assert np.abs(2 * centre_of(image) + rest).max() < 0.4  # pixels of the micrograph: at centre - origin
    assert centred.ctf.defocus_u_A.tolist() == [10000.0, 10000.0]


def test_from_a_pick_job_with_a_broken_a_missing_and_an_unlisted_micrograph(tmp_path, vitreous):
    write_micrographs(tmp_path, 4)
    run_pick((tmp_path / "mics.star",), tmp_path / "p", Pick(diameter_A=120.0, false_picks=0.5, pictures=0), QUICK)
    listed = read_coordinates([tmp_path / "p/autopick.star"], None)
    table = read_coordinates([tmp_path / "p/picks.star"], None)
    assert np.array_equal(listed.coordinate_px, table.coordinate_px)
    (tmp_path / "m1.mrc").write_bytes(b"broken")
    (tmp_path / "m2.mrc").unlink()
    ended = vitreous("extract", tmp_path / "p", "-o", tmp_path / "o", "--threads", 2)
    assert ended.code == 0
    assert "2 micrographs could not be used" in ended.out
    assert "inverted: particles become white" in ended.out + ended.err
    found = read_particles(tmp_path / "o/particles.star")
    assert found.box_px == 18  # one and a half diameters
    assert set(found.micrograph_names) == {"m0.mrc", "m3.mrc"}
    words = read_star(tmp_path / "o/micrographs.star")["micrographs"].text("vtrFailure")
    assert "not an MRC file" in words[1]
    assert "does not exist" in words[2]
    assert read_manifest(tmp_path / "o").summary["left_out_micrograph"] > 0
    checked = vitreous("check", tmp_path / "o/particles.star")
    assert checked.code == 0
    assert "particles are white" in checked.out
    short = read_star(tmp_path / "mics.star")
    write_star(tmp_path / "short.star", short | {"micrographs": short["micrographs"].take(np.array([0]))})
    ended = vitreous("extract", tmp_path / "p", "-o", tmp_path / "s", "--micrographs", tmp_path / "short.star",
                     "--project", tmp_path, "--no-invert-contrast")  # fmt: skip
    assert ended.code == 0
    words = read_star(tmp_path / "s/micrographs.star")["micrographs"].text("vtrFailure")
    assert [why.startswith(f"m{i}.mrc: not in ") for i, why in enumerate(words)] == [False, True, True, True]
    assert "darker than their surroundings" in read_manifest(tmp_path / "s").messages[0]


def test_a_job_that_was_stopped_goes_on_and_ends_alike(tmp_path, monkeypatch):
    for module in ("vitreous.micrographs.extraction", "vitreous.jobs.tasks.extract"):
        monkeypatch.setattr(f"{module}.BOXED_AT_ONCE", 1)
    write_micrographs(tmp_path, 3)
    picks, settings = write_picks(tmp_path, CENTRES, n=3), Extract(box_px=BOX)
    run_extract((picks,), tmp_path / "whole", settings, QUICK)
    original = extract.extract_algorithm

    def stopping(plan, folder, **options):
        folder.parent.mkdir(exist_ok=True)
        algorithm = original(plan, folder, **options)

        def step(state):
            (folder.parent / "RELION_JOB_ABORT_NOW").touch()
            return algorithm.step(state)

        return replace(algorithm, step=step)

    with monkeypatch.context() as within:
        within.setattr(extract, "extract_algorithm", stopping)
        with pytest.raises(Interrupted):
            run_extract((picks,), tmp_path / "stopped", settings, QUICK)
    assert [path.name for path in (tmp_path / "stopped").glob("extracted/*")] == ["m0.mrcs"]
    run_extract((picks,), tmp_path / "stopped", settings, RunOptions(threads=1, resume=True))
    one, other = (read_particles(tmp_path / name / "particles.star") for name in ("whole", "stopped"))
    assert np.array_equal(one.read(slice(None)), other.read(slice(None)))
    assert one.table.without(["rlnImageName"]).names == other.table.without(["rlnImageName"]).names
    assert len(other) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "box-px: expected the side of the boxes"),
        (("--box", 25), "expected an even number from 8, found 25"),
        (("--box", 98), "98 pixels are more than the micrographs have, 128 x 96"),
        (("--box", 24, "--diameter", 900), "diameter_A: 900 A do not fit into a box of 24 pixels, 240 A"),
        (("--box", 24, "--target-pixel-size-A", 5), "makes 48 of 24 pixels"),
    ],
)
def test_boxes_that_do_not_fit(tmp_path, vitreous, words, said):
    write_micrographs(tmp_path, 1)
    ended = vitreous("extract", write_picks(tmp_path, CENTRES), "-o", tmp_path / "o", *words)
    assert ended.code == 1
    assert said in ended.err


def test_nothing_that_can_be_used(tmp_path, vitreous):
    picks = write_picks(tmp_path, CENTRES)
    ended = vitreous("extract", picks, "-o", tmp_path / "o", "--box", 24)
    assert (ended.code, "none of 1 micrographs can be used; the first:" in ended.err) == (1, True)
    (tmp_path / "empty").mkdir()
    ended = vitreous("extract", tmp_path / "empty", "-o", tmp_path / "o", "--box", 24)
    assert "is the folder of no job; expected that of a finished pick job" in ended.err
    write_micrographs(tmp_path, 1)
    ended = vitreous("extract", write_picks(tmp_path, [(2, 2)]), "-o", tmp_path / "o", "--box", 24)
    assert "nothing was extracted" in ended.out
    assert "No box was written" in (tmp_path / "o/report.html").read_text()
