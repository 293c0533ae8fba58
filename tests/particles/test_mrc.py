import struct

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.particles import (
    MrcStackWriter,
    ParticleFileError,
    Volume,
    open_stack,
    read_images,
    read_volume,
    write_mrc_stack,
    write_volume,
)

DTYPES = {0: np.int8, 1: np.int16, 2: np.float32, 6: np.uint16, 12: np.float16}


def with_mrcfile(path, data, *, pixel_size_A=1.5, order="<", extended=b""):
    with mrcfile.new(path) as file:
        file.set_data(data.astype(data.dtype.newbyteorder(order)))
        file.set_image_stack()
        file.voxel_size = pixel_size_A
        if extended:
            file.set_extended_header(np.frombuffer(extended, dtype="V1"))
    return path


def patched(path, offset, *values, format="<i"):
    raw = bytearray(path.read_bytes())
    for i, value in enumerate(values):
        struct.pack_into(format, raw, offset + 4 * i, value)
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", list(DTYPES))
@pytest.mark.parametrize("extended", [b"", b"x" * 320])
def test_modes_byte_orders_and_extended_headers(tmp_path, mode, order, extended):
    data = np.random.default_rng(mode).integers(0, 100, (5, 6, 6)).astype(DTYPES[mode])
    path = with_mrcfile(tmp_path / "a.mrcs", data, order=order, extended=extended)
    stack = open_stack(path)
    assert (len(stack), stack.box_px, stack.header.pixel_size_A) == (5, 6, 1.5)
    images = stack.read([3, 0, 0, 4])
    assert images.dtype == np.float32
    assert (images == data[[3, 0, 0, 4]].astype(np.float32)).all()
    assert (read_images(path, range(1, 4)) == data[1:4]).all()
    assert read_images(path, []).shape == (0, 6, 6)


@pytest.mark.parametrize("order", ["<", ">"])
def test_no_map_string_no_machine_stamp(tmp_path, order):
    data = np.arange(72, dtype=np.int16).reshape(2, 6, 6)
    path = with_mrcfile(tmp_path / "a.mrc", data, order=order)
    patched(path, 208, 0, 0)
    assert (read_images(path, [0, 1]) == data).all()


def test_ambiguous_byte_order_is_settled_by_the_size(tmp_path):
    # 256 reads as 65536 in the other order, mode 0 as 0: both make sense.
    path = with_mrcfile(tmp_path / "a.mrc", np.ones((1, 256, 256), dtype=np.int8))
    patched(path, 0, 256, 256, 256, format=">i")
    patched(path, 212, 0)
    path.write_bytes(path.read_bytes() + bytes(255 * 65536))
    assert len(open_stack(path)) == 256


def test_mode_0_is_signed_unless_the_file_says_otherwise(tmp_path):
    path = with_mrcfile(tmp_path / "a.mrc", np.full((1, 4, 4), -56, dtype=np.int8))
    assert read_images(path, [0])[0, 0, 0] == -56
    patched(path, 152, 1146047817, 0)
    assert read_images(path, [0])[0, 0, 0] == 200
    patched(path, 152, 1146047817, 1)
    assert read_images(path, [0])[0, 0, 0] == -56
    patched(path, 152, 0, 0)
    patched(path, 76, 0.0, 255.0, format="<f")
    assert read_images(path, [0])[0, 0, 0] == 200


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_mrcfile_accepts_what_we_write(tmp_path, dtype):
    images = np.random.default_rng(1).normal(3, 2, (9, 8, 8)).astype(dtype)
    path = tmp_path / "a.mrcs"
    with MrcStackWriter(path, box_px=8, pixel_size_A=1.25, dtype=dtype) as writer:
        for block in (images[:4], images[4:4], images[4:]):
            writer.append(block)
        assert not path.exists()
    assert mrcfile.validate(path)  # its warnings are errors, as all are
    with mrcfile.open(path) as file:
        assert file.is_image_stack()
        assert (file.data == images).all()
        assert file.voxel_size.x == np.float32(1.25)
        values = images.astype(np.float64)
        for name, expected in (("dmin", values.min()), ("dmax", values.max()), ("dmean", values.mean())):
            assert file.header[name] == pytest.approx(expected, rel=1e-6)
        assert file.header.rms == pytest.approx(values.std(), rel=1e-6)
    assert (read_images(path, range(9)) == images.astype(np.float32)).all()


@given(st.lists(st.integers(0, 11), max_size=20))
def test_any_order_of_indices(tmp_path_factory, indices):
    path = tmp_path_factory.getbasetemp() / "order.mrcs"
    images = np.arange(12 * 4, dtype=np.float32).reshape(12, 2, 2)
    if not path.exists():
        write_mrc_stack(path, images, 1.0)
    assert (read_images(path, indices) == images[indices]).all()


def test_writer_errors_leave_no_file(tmp_path):
    path = tmp_path / "a.mrcs"
    with (
        pytest.raises(ValueError, match=r"expected images of shape \(m, 8, 8\), found \(2, 4, 4\)"),
        MrcStackWriter(path, box_px=8, pixel_size_A=1.0) as writer,
    ):
        writer.append(np.zeros((2, 4, 4)))
    with pytest.raises(ValueError, match="65504"):
        write_mrc_stack(path, np.full((1, 4, 4), 1e5), 1.0, dtype=np.float16)
    with pytest.raises(ValueError, match="no images"), MrcStackWriter(path, box_px=8, pixel_size_A=1.0):
        pass
    with pytest.raises(ValueError, match="float32 or float16"):
        MrcStackWriter(path, box_px=8, pixel_size_A=1.0, dtype=np.int8)
    with pytest.raises(ValueError, match="shape"):
        write_mrc_stack(path, np.zeros((4, 4)), 1.0)
    assert list(tmp_path.iterdir()) == []


def test_statistics_ignore_what_is_not_finite(tmp_path):
    images = np.ones((2, 2, 2), dtype=np.float32)
    images[0, 0, 0], images[1, 1, 1] = np.nan, np.inf
    write_mrc_stack(tmp_path / "a.mrcs", images, 1.0)
    with mrcfile.open(tmp_path / "a.mrcs") as file:
        assert (file.header.dmin, file.header.dmax, file.header.dmean, file.header.rms) == (1, 1, 1, 0)


def test_volume_round_trip_and_mrcfile(tmp_path):
    data = np.random.default_rng(2).normal(size=(4, 5, 6)).astype(np.float32)
    write_volume(tmp_path / "a.mrc", Volume(data=data, pixel_size_A=2.68))
    again = read_volume(tmp_path / "a.mrc")
    assert (again.data == data).all()
    assert again.pixel_size_A == 2.68
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.is_volume()
        assert (file.data == data).all()


def test_volume_axes_are_put_in_order(tmp_path):
    data = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
    path = tmp_path / "a.mrc"
    write_volume(path, Volume(data=data, pixel_size_A=1.0))
    patched(path, 28, 1, 1, 1)
    patched(path, 40, 1.0, 1.0, 1.0, format="<f")
    patched(path, 64, 3, 1, 2)  # columns run along z, rows along x, sections along y
    volume = read_volume(path).data
    assert volume.shape == (4, 2, 3)
    assert volume[3, 1, 2] == data[1, 2, 3]


def test_volume_pixel_size_is_asked_for(tmp_path):
    path = tmp_path / "a.mrc"
    write_volume(path, Volume(data=np.zeros((2, 2, 2)), pixel_size_A=1.0))
    patched(path, 40, 0.0, 0.0, 0.0, format="<f")
    with pytest.raises(ParticleFileError, match="the header has no pixel size; give pixel_size_A"):
        read_volume(path)
    assert read_volume(path, pixel_size_A=3.0).pixel_size_A == 3.0
    patched(path, 40, 2.0, 2.0, 4.0, format="<f")
    with pytest.raises(ParticleFileError, match="voxels are 1 x 1 x 2 A"):
        read_volume(path)
    with pytest.raises(ValueError, match="three dimensions"):
        Volume(data=np.zeros((2, 2)), pixel_size_A=1.0)
    with pytest.raises(ValueError, match="positive number"):
        Volume(data=np.zeros((2, 2, 2)), pixel_size_A=0.0)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "a.mrcs"
    write_mrc_stack(path, np.zeros((10, 4, 4)), 1.0)
    whole = path.read_bytes()
    with pytest.raises(ParticleFileError, match="image 11 is beyond the stack, which has 10 images"):
        read_images(path, [3, 10])
    with pytest.raises(ParticleFileError, match="beyond the stack"):
        read_images(path, [-1])
    path.write_bytes(whole[:-100])
    with pytest.raises(ParticleFileError, match=r"a\.mrcs: truncated: .* 10 images of 4 x 4 .* 8 whole images"):
        open_stack(path)
    path.write_bytes(whole[:500])
    with pytest.raises(ParticleFileError, match="not an MRC file: 500 bytes"):
        open_stack(path)
    path.write_bytes(b"")
    with pytest.raises(ParticleFileError, match="not an MRC file: 0 bytes"):
        open_stack(path)
    path.write_bytes(b"data_particles\n" * 100)
    with pytest.raises(ParticleFileError, match="not an MRC file: the header says"):
        open_stack(path)
    with pytest.raises(ParticleFileError, match="is a directory; expected an MRC stack"):
        open_stack(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.mrc"):
        open_stack(tmp_path / "none.mrc")


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (0, 5, "images are 5 x 4 pixels; particle images must be square"),
        (0, 2**31 - 1, "not an MRC file"),
        (0, -4, "not an MRC file"),
        (8, 2**31 - 1, "truncated"),
        (8, 0, "not an MRC file"),
        (12, 4, "mode 4 .complex float32. is not read"),
        (12, 101, "mode 101"),
        (12, 77, "mode 77"),
        (92, 2**30, "truncated"),
        (92, -1, "not an MRC file"),
    ],
)
def test_absurd_headers(tmp_path, offset, value, words):
    path = tmp_path / "a.mrcs"
    write_mrc_stack(path, np.zeros((10, 4, 4)), 1.0)
    path.write_bytes(path.read_bytes() + bytes(1000))
    patched(path, offset, value)
    with pytest.raises(ParticleFileError, match=words) as error:
        open_stack(path)
    assert str(path) in str(error.value)
