"""Copies of particles with their images, for programs that read less than we do."""

import numpy as np
import pytest

from vitreous.particles import (
    ParticleFileError,
    Table,
    check_particles,
    copy_particles,
    open_stack,
    read_particles,
    write_mrc_stack,
    write_star,
)

BOX, N = 16, 12


@pytest.fixture
def halves(tmp_path):
    """Two stacks of half precision in folders of their own, one of them named like a map."""
    images = np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float16)
    for folder, name, part in (("a b", "p.mrcs", images[:7]), ("\u00e9", "q.mrc", images[7:])):
        (tmp_path / folder).mkdir()
        write_mrc_stack(tmp_path / folder / name, part, 2.0, dtype=np.float16)
    names = [f"{i + 1}@'a b/p.mrcs'" for i in range(7)] + [f"{i + 1}@\u00e9/q.mrc" for i in range(5)]
    names = [name.replace("'", "") for name in names]
    columns = {"rlnImageName": names, "rlnAnglePsi": np.arange(N, dtype=float), "rlnOpticsGroup": np.ones(N, int)}
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [2.0], "rlnImageSize": [BOX]}
    blocks = {"optics": Table.from_arrays(optics), "particles": Table.from_arrays(columns)}
    write_star(tmp_path / "p.star", blocks)
    return tmp_path / "p.star", images


def test_half_precision_is_said_and_copied_to_float32(halves, tmp_path, monkeypatch):
    star, images = halves
    assert any("mode 12" in text and "vitreous copy" in text for text in check_particles(read_particles(star)).warnings)
    monkeypatch.chdir(tmp_path)
    stack, count = copy_particles(read_particles(star), "new/copy.star")
    assert (count, open_stack(stack).header.dtype.itemsize) == (N, 4)
    copied = read_particles("new/copy.star")
    assert np.array_equal(copied.read(slice(None)), images.astype(np.float32))
    assert np.array_equal(copied.table.numbers("rlnAnglePsi"), np.arange(N))
    assert copied.table.text("rlnImageName")[0] == "000001@new/copy.mrcs", (
        "from the current directory, as RELION has it"
    )
    assert not any("mode 12" in text for text in check_particles(copied).warnings)


def test_particles_without_an_image_are_left_out_of_a_copy(halves, tmp_path):
    star, images = halves
    (tmp_path / "a b" / "p.mrcs").unlink()
    _, count = copy_particles(read_particles(star), tmp_path / "copy.star")
    assert count == 5
    assert np.array_equal(read_particles(tmp_path / "copy.star").read(slice(None)), images[7:].astype(np.float32))
    (tmp_path / "\u00e9" / "q.mrc").unlink()
    with pytest.raises(ParticleFileError, match="no particle has a readable image"):
        copy_particles(read_particles(star), tmp_path / "other.star")
    assert not (tmp_path / "other.star").exists()


def test_a_copy_overwrites_nothing_that_it_is_made_from(halves, tmp_path):
    star, _ = halves
    before = star.read_bytes()
    with pytest.raises(ValueError, match="would overwrite what it is made from"):
        copy_particles(read_particles(star), star)
    with pytest.raises(ValueError, match="would overwrite what it is made from"):
        copy_particles(read_particles(star), tmp_path / "a b" / "p.star")
    with pytest.raises(ValueError, match=r"ends on \.star"):
        copy_particles(read_particles(star), tmp_path / "folder")
    assert star.read_bytes() == before
