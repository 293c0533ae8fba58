"""An initial model that was made without a mixture: from a map and poses to a folder, back, and to a report."""

import numpy as np
import pytest

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.report import write_page
from vitreous.jobs.report.initial import initial_page
from vitreous.jobs.results.initial import read_initial, write_initial
from vitreous.mixtures import Mixture, project, to_volume
from vitreous.models import InitialModelResult, one_conformation
from vitreous.particles import Table, Volume, read_particles, read_star, write_mrc_stack, write_star
from vitreous.rotations import compare_poses, random_rotations
from vitreous.simulate import phantom
from vitreous.volumes import project_map

VIEWS, BOX, PIXEL = 7, 32, 6.0
ONE = np.eye(3)[None]


def lopsided() -> Mixture:
    rng = np.random.default_rng(1)
    return Mixture(means_A=rng.normal(size=(9, 3)) * 16, weights=rng.dirichlet(np.full(9, 4)), precision_per_A2=9.0**-2)


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """(result of a method that knows nothing but a map and poses, its averages, their images)."""
    folder = tmp_path_factory.mktemp("averages")
    rotations, rng = random_rotations(VIEWS, seed=3).numpy(), np.random.default_rng(2)
    origins = rng.uniform(-9.0, 9.0, (VIEWS, 2))
    volume = Volume(data=phantom(BOX // 2, 2 * PIXEL, "small").numpy(), pixel_size_A=2 * PIXEL)
    images = project_map(volume, rotations, origins, BOX, PIXEL)
    write_mrc_stack(folder / "averages.mrcs", images, PIXEL)
    names = [f"{i + 1:06d}@averages.mrcs" for i in range(VIEWS)]
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [PIXEL], "rlnImageSize": [BOX]}
    tables = {
        "optics": Table.from_arrays(optics),
        "particles": Table.from_arrays({"rlnImageName": names, "rlnOpticsGroup": [1] * VIEWS}),
    }
    write_star(folder / "averages.star", tables)
    restarts = [rotations, random_rotations(VIEWS, seed=4).numpy()]
    result = one_conformation(
        volume,
        rotations,
        origins,
        scores=np.array([0.75, 0.5]),
        score="cross validated correlation",
        agreements=[compare_poses(r, rotations, group=ONE, within_deg=10.0) for r in restarts],
    )
    return result, read_particles(folder / "averages.star", project=folder), images


def test_a_map_without_a_mixture_goes_through_its_folder(by_hand, tmp_path):
    result, averages, images = by_hand
    correlation = write_initial(tmp_path, result, averages, images)
    assert correlation == pytest.approx(np.ones(VIEWS), abs=1e-4)  # the images are projections of the map
    assert not list(tmp_path.glob("*variance*"))
    assert not list(tmp_path.glob("*.cif"))
    found = read_initial(tmp_path)
    assert np.array_equal(found.mean.data, result.mean.data)
    assert found.variance is None
    assert np.allclose(found.projections, images, atol=1e-4 * images.max())
    assert np.allclose(found.rotations, result.rotations, atol=1e-5)
    assert found.score == "cross validated correlation"
    assert found.scores.tolist() == [0.75, 0.5]
    assert read_star(tmp_path / "initial_restarts.star")[""].numbers("vtrRefined").tolist() == [1, 0]
    text = write_page(tmp_path, initial_page(tmp_path)).read_text(encoding="utf-8")
    for words in ("cross validated correlation", "1.000", "the other restart does not agree with it"):
        assert words in text
    for words in ("Standard deviation of the posterior", "component size", "independent samples", ">nan"):
        assert words not in text
    (tmp_path / "initial.mrc").unlink()
    with pytest.raises(JobFolderError, match=r"no initial\.mrc"):
        read_initial(tmp_path)


def test_projections_of_a_map_are_those_of_its_mixture():
    """Rotations, origins and scale mean the same for a map and for the mixture that it shows."""
    mixture, rotations = lopsided(), random_rotations(5, seed=1).numpy()
    origins = np.random.default_rng(5).uniform(-8.0, 8.0, (5, 2))
    theirs = project(mixture, rotations, 48, 4.0, offsets_A=-origins)
    for box, pixel in ((48, 4.0), (32, 6.0), (64, 3.0)):
        ours = project_map(to_volume(mixture, box, pixel), rotations, origins, 48, 4.0)
        assert np.abs(ours - theirs).max() < 0.03 * theirs.max()
        # A slice through a grid of samples has some two per cent too much in all.
        assert ours.sum() == pytest.approx(theirs.sum(), rel=0.03)
    with pytest.raises(ValueError, match="same field"):
        project_map(to_volume(mixture, 48, 5.0), rotations, origins, 48, 4.0)


def test_a_result_that_does_not_belong_together_is_refused(by_hand):
    result = by_hand[0]
    fields = {name: getattr(result, name) for name in vars(result)}
    for name, value in (("labels", np.zeros(3, int)), ("origins_A", np.zeros((VIEWS, 3)))):
        with pytest.raises(ValueError, match=name):
            InitialModelResult(**{**fields, name: value})
    with pytest.raises(ValueError, match="best 2"):
        InitialModelResult(**{**fields, "best": 2})
