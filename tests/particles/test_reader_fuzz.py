"""Damaged files are read or refused with a ParticleFileError; nothing else comes out."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitreous.particles import ParticleFileError, check_particles, open_stack, read_particles, read_star, read_volume
from vitreous.particles.mrc_header import build_header

STAR = b"""# version 30001
data_optics
loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
_rlnImageSize #3
1 2.5 4
data_particles
loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
000001@a.mrcs 1 10000.0
000002@a.mrcs 1 'a b'
"""
MRC = (
    build_header(
        shape=(2, 4, 4), dtype=np.dtype("<f4"), pixel_size_A=2.5, is_volume=False, minimum=0, maximum=1, mean=0, rms=1
    )
    + np.arange(32, dtype="<f4").tobytes()
)


def cs_bytes() -> bytes:
    array = np.zeros(2, dtype=[("uid", "<u8"), ("blob/path", "S8"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,))])
    array["blob/path"], array["blob/idx"], array["blob/shape"] = b"a.mrcs", [0, 1], 4
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@st.composite
def damaged(draw, content: bytes, interesting: tuple[bytes, ...]):
    """The content with a few bytes overwritten, pieces inserted, removed or repeated, or its end cut off."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        piece = draw(st.one_of(st.binary(max_size=8), st.sampled_from(interesting)))
        kind = draw(st.sampled_from(["overwrite", "insert", "delete", "repeat", "cut"]))
        if kind == "overwrite":
            data[at : at + len(piece)] = piece
        elif kind == "insert":
            data[at:at] = piece
        elif kind == "delete":
            del data[at : at + draw(st.integers(1, 20))]
        elif kind == "repeat":
            data[at:at] = data[at : at + 40]
        else:
            del data[at:]
    return bytes(data)


INTEGERS = (
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\xff" * 4,
    b"\x00" * 4,
    b"\x00\x00\x00\x10",
    b"\x00\x00\xc0\x7f",
)
STAR_PIECES = (
    b"\n",
    b"'",
    b'"',
    b"loop_\n",
    b"data_x\n",
    b"_a\n",
    b"#",
    b"\0",
    b"\xff",
    b"\r",
    b"; ",
    b"nan",
    b"1e999",
)
CS_PIECES = (*INTEGERS, b"99999999999999", b"'|O'", b"((", b"(2,", b"<U9", b"{", b"\\x", b"-1")

quietly = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.mrcs").write_bytes(MRC)
    return tmp_path


def use_everything(particles):
    """Every property and every image; what is wrong may be said by any of them."""
    for name in ("box_px", "pixel_size_A", "ctf", "origin_A", "micrograph"):
        try:
            getattr(particles, name)
        except ParticleFileError:
            continue
    if particles.image_files and len(particles) < 100:
        report = check_particles(particles)
        assert report.can_run == (not report.problems)
        assert report.lines()


@quietly
@given(content=damaged(STAR, STAR_PIECES))
def test_damaged_star(folder, content):
    path = folder / "p.star"
    path.write_bytes(content)
    try:
        read_star(path)
        particles = read_particles(path)
    except ParticleFileError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    use_everything(particles)


@quietly
@given(content=damaged(cs_bytes(), CS_PIECES))
@pytest.mark.filterwarnings("ignore")  # NumPy's own, about the literal that it evaluates
def test_damaged_cs(folder, content):
    path = folder / "p.cs"
    path.write_bytes(content)
    try:
        particles = read_particles(path)
    except ParticleFileError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    use_everything(particles)


@quietly
@given(content=damaged(MRC, INTEGERS))
def test_damaged_mrc(folder, content):
    path = folder / "b.mrcs"
    path.write_bytes(content)
    for read in (open_stack, read_volume):
        try:
            result = read(path)
        except ParticleFileError as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        if read is open_stack:
            assert result.read(np.arange(len(result))).nbytes <= len(content) * 4
        else:
            assert result.data.nbytes <= len(content) * 4
    try:
        use_everything(read_particles(path))
    except ParticleFileError as error:
        assert str(path) in str(error)  # noqa: PT017


@quietly
@given(content=st.binary(max_size=3000), suffix=st.sampled_from([".star", ".cs", ".mrcs"]))
@pytest.mark.filterwarnings("ignore")
def test_random_bytes(folder, content, suffix):
    path = folder / f"random{suffix}"
    path.write_bytes(content)
    with pytest.raises(ParticleFileError, match=r"random\."):
        read_particles(path)
