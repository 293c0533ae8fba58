import errno
import os
import stat

import pytest

from vitreous.particles import append_text, atomic_path, write_bytes_atomic, write_text_atomic


def test_success_replaces_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "one")
    write_text_atomic(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    write_bytes_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail_half_way():
        with atomic_path(path) as temporary:
            assert temporary.parent == tmp_path
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_of_the_disk_names_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "a.npz"

    def fail(error):
        with atomic_path(path):
            raise error

    for error in (OSError(errno.ENOSPC, "No space left on device"), OSError("half of it")):
        with pytest.raises(OSError, match=r"No space|half of it") as raised:
            fail(error)
        assert str(path) in str(raised.value)
    assert os.listdir(tmp_path) == []
    with pytest.raises(OSError, match=r"none/b\.jsonl"):
        append_text(tmp_path / "none" / "b.jsonl", "x")


def test_permissions_follow_the_umask_and_the_replaced_file(tmp_path):
    path = tmp_path / "a.txt"
    old = os.umask(0o027)
    try:
        write_text_atomic(path, "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    write_text_atomic(path, "y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_text_atomic(tmp_path / "no" / "a.txt", "x")
