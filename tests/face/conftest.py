"""A set that every test of the face may use, and its classes: made once."""

import pytest

import vitreous as vt


@pytest.fixture(scope="session")
def particles() -> vt.ParticleSet:
    return vt.example("ribosome", n=200, snr=0.5, box_px=24)


@pytest.fixture(scope="session")
def classes(particles: vt.ParticleSet) -> vt.Result:
    return vt.class2d(particles, classes=5, iterations=3)


@pytest.fixture(scope="session")
def averages(particles: vt.ParticleSet, classes: vt.Result) -> vt.Result:
    return vt.deconvolve(particles, classes=classes)


@pytest.fixture(scope="session")
def near(particles: vt.ParticleSet, classes: vt.Result) -> vt.Result:
    return vt.neighbors(particles, classes=classes, neighbors=3, averages=4)
