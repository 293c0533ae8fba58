import re

import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from vitreous.particles import ParticleFileError, Table, read_star, write_star

VERSION_31 = b"""
# version 30001

data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMtfFileName #3 [a comment]
opticsGroup1 1 mtf_300kV.star

# version 30001

data_particles

loop_
_rlnImageName #1
_rlnDefocusU #2
_rlnOpticsGroup #3
 000001@a.mrcs 12345.600000            1
# a comment between rows
 000002@a.mrcs 1e4 1
"""


def star(tmp_path, content: bytes):
    path = tmp_path / "a.star"
    path.write_bytes(content)
    return path


def same(a, b):
    assert list(a) == list(b)
    for name in a:
        assert a[name].names == b[name].names
        assert a[name].loop == b[name].loop
        for column in a[name].names:
            assert a[name].text(column).tolist() == b[name].text(column).tolist()


def test_blocks_columns_types_and_lines(tmp_path):
    blocks = read_star(star(tmp_path, VERSION_31))
    assert list(blocks) == ["optics", "particles"]
    table = blocks["particles"]
    assert table.names == ("rlnImageName", "rlnDefocusU", "rlnOpticsGroup")
    assert table["rlnDefocusU"].tolist() == [12345.6, 10000.0]
    assert table["rlnDefocusU"].dtype == np.float64
    assert table["rlnOpticsGroup"].dtype == np.int64
    assert table["rlnImageName"].tolist() == ["000001@a.mrcs", "000002@a.mrcs"]
    assert table.where(1).endswith("a.star:22")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.rstrip(),
        lambda text: b"\n".join(line for line in text.split(b"\n") if not line.startswith(b"#")),
        lambda text: re.sub(rb" #\d.*", b"", text),
        lambda text: text.replace(b"30001", b"50001").replace(b" ", b"\t"),
        lambda text: text.replace(b"12345.600000 ", b'"12345.600000" '),
        lambda text: text.replace(b"\n\n", b"\n \n\n"),
    ],
)
def test_dialects_read_alike(tmp_path, change):
    expected = read_star(star(tmp_path, VERSION_31))
    same(read_star(star(tmp_path, change(VERSION_31))), expected)


def test_original_text_survives(tmp_path):
    tokens = ["1.50", "1.5", "+2", "007", "1e3", "-0.0", "1.000000000000000000001", "nan"]
    content = "data_images\nloop_\n_a\n" + "\n".join(tokens) + "\n"
    blocks = read_star(star(tmp_path, content.encode()))
    write_star(tmp_path / "b.star", blocks)
    again = read_star(tmp_path / "b.star")["images"]
    assert again.text("a").tolist() == tokens
    assert again["a"].dtype == np.float64


def test_numbers_are_not_python_literals(tmp_path):
    table = read_star(star(tmp_path, b"data_\nloop_\n_a\n_b\n1_000 18446744073709551615\n2 1\n"))[""]
    assert table["a"].tolist() == ["1_000", "2"]
    assert table["b"].tolist() == [2**64 - 1, 1]


def test_pairs_and_empty_values(tmp_path):
    table = read_star(star(tmp_path, b'data_general\n_rlnA  3\n_rlnB\n_rlnC "x y" # comment\n'))["general"]
    assert not table.loop
    assert (table["rlnA"][0], table.text("rlnB")[0], table.text("rlnC")[0]) == (3, "", "x y")


def test_empty_loop_is_a_table_without_rows(tmp_path):
    table = read_star(star(tmp_path, b"data_a\nloop_\n_x\n_y\n\ndata_b\n_z 1\n"))["a"]
    assert len(table) == 0
    assert table.names == ("x", "y")


def test_rows_may_begin_like_reserved_words(tmp_path):
    table = read_star(star(tmp_path, b"data_a\nloop_\n_x\n_y\ndata_1/m.mrc 5\nloop_ 6\n"))["a"]
    assert table["x"].tolist() == ["data_1/m.mrc", "loop_"]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"hello world\n", 1, "not a STAR file"),
        (b"# only a comment\n", None, "not a STAR file"),
        (b"", None, "not a STAR file"),
        (b"data_a\nloop_\n_x\n_y\n1 2\n3\n", 6, "1 values in a row of block data_a, which has 2 columns"),
        (b"data_a\nloop_\n_x\n_y\n1 2 3\n", 5, "3 values"),
        (b"data_a\nloop_\n_x\n_x\n1 2\n", 4, "column x occurs twice"),
        (b"data_a\n_x 1\ndata_a\n_x 1\n", 3, "block data_a occurs twice"),
        (b"data_a\nloop_\n1 2\n", 3, "2 values in a row of block data_a, which has 0 columns"),
        (b"data_a\nloop_\n\ndata_b\n_x 1\n", 1, "no columns"),
        (b"data_a\nloop_\n_x\n1\nloop_\n_y\n2\n", 5, "second table"),
        (b"data_a\nloop_\n_x\n1\n_y\n2\n", 5, "after the first row"),
        (b"data_a\n_x 1 2\n", 2, "2 values after x; expected one"),
        (b"data_a\nloop_\n_x 5\n", 3, "1 values after x; expected none in a loop_"),
        (b"data_a\n_x 'open\n", 2, "quotation mark without its partner"),
        (b"data_a\n_x 1\nstray\n", 3, "expected 'loop_' or a name"),
        (b"data_a\n_ 1\n", 2, "a name is missing"),
        (b"data_a\n;text\n;\n", 2, "several lines"),
        (b"\x7fELF\x00\x00\n", 1, "binary data"),
        (b"data_a\nloop_\n_x\n1\n\x00\x01\n", 5, "binary data"),
    ],
)
def test_errors_name_file_and_line(tmp_path, content, line, words):
    path = star(tmp_path, content)
    with pytest.raises(ParticleFileError) as error:
        read_star(path)
    assert str(error.value).startswith(f"{path}:{line}:" if line else f"{path}:")
    assert words in str(error.value)


def test_directory_and_absent_file(tmp_path):
    with pytest.raises(ParticleFileError, match="is a directory; expected a STAR file"):
        read_star(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist; expected a STAR file"):
        read_star(tmp_path / "nothing.star")


def test_unwritable_values_leave_the_old_file(tmp_path):
    path = star(tmp_path, VERSION_31)
    for value in ("a\nb", "a\0b", "both \"' and ' \" x"):
        with pytest.raises(ParticleFileError, match="holds"):
            write_star(path, {"a": Table.from_arrays({"x": [value]})})
    with pytest.raises(ParticleFileError, match="name of a column"):
        write_star(path, {"a": Table.from_arrays({"x y": [1]})})
    with pytest.raises(ParticleFileError, match="name of a block"):
        write_star(path, {"a b": Table.from_arrays({"x": [1]})})
    assert path.read_bytes() == VERSION_31
    assert [p.name for p in tmp_path.iterdir()] == ["a.star"]


NAMES = st.text("abcdefXYZ0123456789/_", min_size=1, max_size=8)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\v\f\"'"), max_size=12),
    st.sampled_from(["", "#", "_a", "data_x", "loop_", ";", "'", '"', "a'b c", 'a" b', "$x", "[1,2]", "LOOP_", "\t"]),
)


@st.composite
def star_files(draw):
    blocks = {}
    for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        loop = draw(st.booleans())
        rows = draw(st.integers(0, 5)) if loop else 1
        columns = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
        blocks[name] = Table.from_arrays(
            {c: [str(v) for v in draw(st.lists(VALUES, min_size=rows, max_size=rows))] for c in columns}, loop=loop
        )
    return blocks


@given(star_files())
def test_round_trip_keeps_everything(tmp_path_factory, blocks):
    path = tmp_path_factory.mktemp("star") / "a.star"
    write_star(path, blocks)
    again = read_star(path)
    same(again, blocks)
    second = path.with_name("b.star")
    write_star(second, again)
    assert second.read_bytes() == path.read_bytes()


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_computed_numbers_are_written_exactly(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("star") / "a.star"
    write_star(path, {"a": Table.from_arrays({"x": values})})
    assert read_star(path)["a"]["x"].tolist() == values


def test_float32_is_written_shortest_and_read_as_meant(tmp_path):
    table = Table.from_arrays({"x": np.array([2.95, 1.31], dtype=np.float32)})
    assert table["x"].tolist() == [2.95, 1.31]
    write_star(tmp_path / "a.star", {"a": table})
    assert read_star(tmp_path / "a.star")["a"].text("x").tolist() == ["2.95", "1.31"]


def test_more_rows_than_one_chunk_and_very_uneven_widths(tmp_path):
    n = 70000
    long = ["x"] * n
    long[12345] = "y" * 5000
    table = Table.from_arrays({"i": np.arange(n), "text": long})
    write_star(tmp_path / "a.star", {"a": table})
    again = read_star(tmp_path / "a.star")["a"]
    assert (again["i"] == np.arange(n)).all()
    assert again.text("text").tolist() == long
    assert sum(c.raw.nbytes for c in again.columns.values()) < 100 * n


def test_starfile_reads_what_we_write_and_the_reverse(tmp_path):
    blocks = read_star(star(tmp_path, VERSION_31))
    write_star(tmp_path / "ours.star", blocks)
    theirs = starfile.read(tmp_path / "ours.star", always_dict=True)
    assert list(theirs) == list(blocks)
    for name, frame in theirs.items():
        assert list(frame.columns) == list(blocks[name].names)
        for column in frame.columns:
            assert frame[column].tolist() == blocks[name][column].tolist()
    starfile.write(theirs, tmp_path / "theirs.star")
    again = read_star(tmp_path / "theirs.star")
    assert again["particles"]["rlnDefocusU"].tolist() == [12345.6, 10000.0]


def test_table_operations():
    table = Table.from_arrays({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    assert table.take(np.array([2, 0]))["b"].tolist() == ["z", "x"]
    assert table.take(np.array([True, False, True]))["a"].tolist() == [1, 3]
    assert table.with_columns({"a": 7, "c": [0.5, 1.5, 2.5]}).names == ("a", "b", "c")
    assert table.with_columns({"a": 7})["a"].tolist() == [7, 7, 7]
    assert table.without(["a", "none"]).names == ("b",)
    table["a"][0] = 100
    assert table["a"].tolist() == [1, 2, 3]
    with pytest.raises(ParticleFileError, match="no column c; columns are: a, b"):
        table["c"]
    with pytest.raises(ParticleFileError, match="row 1: b is 'x'; expected a number"):
        table.numbers("b")
    with pytest.raises(ValueError, match="expected 3 values"):
        table.with_columns({"a": [1, 2]})
    with pytest.raises(ValueError, match="different lengths"):
        Table.from_arrays({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="one dimension"):
        Table.from_arrays({"a": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="numbers or text"):
        Table.from_arrays({"a": np.zeros(2, dtype=complex)})
