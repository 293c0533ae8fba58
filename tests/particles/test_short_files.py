"""Files that end too early, and disks that are too small, are errors with a file and a number of bytes."""

import errno
import os

import numpy as np
import pytest

from vitreous.particles import ParticleFileError, open_stack, write_mrc_stack
from vitreous.particles.scratch import release, scratch_array

IMAGES = np.random.default_rng(0).normal(size=(20, 16, 16)).astype(np.float32)


@pytest.mark.parametrize("rows", [slice(None), [19, 3, 4], [19]])
def test_a_stack_that_is_cut_short_while_it_is_read(tmp_path, rows):
    """A memory map would end the process here, with SIGBUS and without a word."""
    path = tmp_path / "a.mrcs"
    write_mrc_stack(path, IMAGES, 1.0)
    stack, index = open_stack(path), np.arange(20)[rows]
    assert np.array_equal(stack.read(index), IMAGES[rows])
    os.truncate(path, 1024 + 19 * 1024 + 600)
    with pytest.raises(ParticleFileError, match=r"a.mrcs: 424 bytes are missing at the end.*cut short"):
        stack.read(index)
    assert np.array_equal(stack.read([7, 2, 3]), IMAGES[[7, 2, 3]]), "what is there can be read"


@pytest.mark.parametrize("kind", ["<i1", "<i2", ">f4", "<f2"])
def test_pixel_types_that_are_converted(tmp_path, kind):
    whole = (10 * IMAGES).astype(np.int8)
    path = tmp_path / "a.mrcs"
    write_mrc_stack(path, whole, 1.0)
    stack = open_stack(path)
    raw = np.frombuffer(path.read_bytes()[:1024], np.uint8).copy()
    mode = {"i1": 0, "i2": 1, "f4": 2, "f2": 12}[kind[1:]]
    words = raw.view("<i4")
    words[3] = mode
    if kind[0] == ">":
        raw[: 27 * 4] = words[:27].byteswap().view(np.uint8)
        raw[212:214] = 0x11
    path.write_bytes(raw.tobytes() + whole.astype(kind).tobytes())
    stack = open_stack(path)
    assert np.array_equal(stack.read([3, 4, 0]), whole[[3, 4, 0]])
    assert np.array_equal(stack.read(np.arange(20)), whole)


def test_a_scratch_file_has_its_room_before_it_is_used(tmp_path):
    array = scratch_array(tmp_path / "s.dat", np.float32, (100, 1000))
    assert not array.any()
    assert (tmp_path / "s.dat").stat().st_blocks * 512 >= 400_000, "holes would promise what may not be there"
    array[:] = 1


def test_a_disk_that_is_too_small_is_said(tmp_path, monkeypatch):
    def full(handle, start, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"s.dat: 400,000 bytes are needed .* \(No space left on device\); free the disk"):
        scratch_array(tmp_path / "s.dat", np.float32, (100, 1000))
    assert not (tmp_path / "s.dat").exists()


def test_file_systems_without_reservation_are_filled_with_zeros(tmp_path, monkeypatch):
    def unsupported(handle, start, size):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    assert not scratch_array(tmp_path / "s.dat", np.float32, (600, 1000)).any()
    assert (tmp_path / "s.dat").stat().st_size == 2_400_000


def test_a_mapped_array_that_was_released_is_still_there(tmp_path):
    array = scratch_array(tmp_path / "s.dat", np.float32, (1000, 1000))
    array[:] = np.arange(1000)
    release(array)
    assert (array == np.arange(1000)).all()
    array[3] = 7.0
    release(array)
    assert (array[3] == 7.0).all()
    plain = np.ones(3)
    release(plain)
    assert plain.sum() == 3
