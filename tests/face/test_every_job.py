"""Results of the jobs that the other tests do not make: they are saved, read back and shown."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

import vitreous as vt

BOX, PIXEL_A = 24, 320 / 24


def ribosome() -> vt.Volume:
    return vt.Volume(data=vt.phantom(BOX, PIXEL_A).numpy(), pixel_size_A=PIXEL_A)


def posed() -> vt.ParticleSet:
    return vt.example("ribosome", n=200, snr=0.5, box_px=BOX, truth=True)


def halves() -> tuple[vt.Volume, vt.Volume]:
    rng, true = np.random.default_rng(0), ribosome()
    return tuple(true.with_data(true.data + 0.2 * rng.normal(size=true.data.shape)) for _ in range(2))


MADE: dict[str, Callable[[vt.ParticleSet, vt.Result], vt.Result]] = {
    "msa": lambda particles, classes: vt.msa(classes, classes=3),
    "project": lambda particles, classes: vt.project(ribosome(), views=4),
    "reconstruct": lambda particles, classes: vt.reconstruct(posed()),
    "class3d": lambda particles, classes: vt.class3d(
        posed(), reference=ribosome(), starts=1, iterations=1, resolution_limit_A=80.0
    ),
    "model-bias": lambda particles, classes: vt.model_bias(
        classes.averages[0], pixel_size_A=PIXEL_A, fewest=50, most=200
    ),
    "stability": lambda particles, classes: vt.stability(particles, classes=classes, starts=2, iterations=4),
    "isac": lambda particles, classes: vt.isac(particles, img_per_grp=30, generations=2),
    "abinitio": lambda particles, classes: vt.abinitio(particles, starts=2, iterations=4),
    "postprocess": lambda particles, classes: vt.postprocess(halves()),
    "mixture": lambda particles, classes: vt.mixture(ribosome(), components=30),
}
COSTLY = ("stability", "isac", "abinitio", "postprocess", "mixture")
JOBS = [pytest.param(job, marks=pytest.mark.slow) if job in COSTLY else job for job in MADE]


@pytest.mark.parametrize("job", JOBS)
def test_a_result_is_saved_read_back_and_shown(job, particles, classes, tmp_path):
    made = MADE[job](particles, classes)
    made.save(tmp_path / "out")
    read = vt.load(tmp_path / "out")
    assert repr(read).splitlines()[0] == repr(made).splitlines()[0]
    shown = made.show(3)
    assert read.show(3).captions == shown.captions
    assert len(shown.pictures) == len(shown.captions) > 0
    for one, two in zip(read.show(3).pictures, shown.pictures, strict=True):
        for first, second in zip(one, two, strict=True):
            assert np.abs(first.astype(int) - second.astype(int)).max() <= 1  # of 255 levels
    for name, volume in made.maps.items():
        np.testing.assert_allclose(read.maps[name].data, volume.data, rtol=1e-6)


@pytest.mark.slow
def test_structures_are_read_back(particles, tmp_path):
    made = vt.abinitio(particles, starts=2, iterations=4)
    made.save(tmp_path / "out")
    read = vt.load(tmp_path / "out")
    np.testing.assert_allclose(read.poses.rotation, made.poses.rotation, atol=1e-4)
    assert [start.evidence for start in read.starts] == [round(start.evidence, 4) for start in made.starts]
    assert (read.best, read.starts_agreeing) == (made.best, made.starts_agreeing)


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("pandas", lambda classes: classes.to_pandas()),
        ("matplotlib", lambda classes: classes.plot_frc()),
        ("arviz", lambda classes: classes.to_arviz()),
    ],
)
def test_a_package_that_is_not_there_is_named(package, call, classes, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match="pip install"):
        call(classes)


@pytest.mark.parametrize("value", ["value", "alignments"])
def test_what_methods_return_is_short_on_a_screen(value, classes):
    assert len(repr(getattr(classes, value)).splitlines()) <= 5
