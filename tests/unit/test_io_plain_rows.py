"""The quick way through a STAR file: where it is taken it says what the full parser says."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parfocal.errors import InputError
from parfocal.io import plain_rows
from parfocal.io.plain_rows import last_loop
from parfocal.io.star import _fully, _quickly

HEAD = b"# made\n\ndata_optics\nloop_\n_rlnName\n'a b'\n\ndata_particles # all\n\nloop_ # here\n"
TAGS = b"_rlnImageName #1\n_rlnDefocusU #2\n"
ROWS = b"000001@a.mrcs -12.5\n 000002@a#b.mrcs\t7e3 \r\n\n000003@data_x/c'd;.mrcs nan\n"
TEXT = HEAD + TAGS + ROWS


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "file.star"
    for text in (TEXT, HEAD + b"_x\n1\n"):  # compiles, which a limit of time must not see
        assert_same_both_ways(path, text)
    return path


def read(table, name):
    """A column as words, and as numbers if it is one; else what is said of it."""
    found = []
    for kind in (table.text, table.numbers):
        try:
            found.append(list(kind(name)))
        except InputError as error:
            found.append(str(error))
    return found


def assert_same_both_ways(path, text):
    """Whether the quick way was taken; it may be only where the full parser says the same."""
    path.write_bytes(text)
    quick = _quickly(path)
    if not quick:
        return False
    full = _fully(path)
    assert list(quick) == list(full)
    for name, table in quick.items():
        assert (list(table.columns), table.where) == (list(full[name].columns), full[name].where)
        for column in table.columns:
            np.testing.assert_equal(read(table, column), read(full[name], column))  # nan is nan
    return True


def test_plain_rows_are_read_the_quick_way(path):
    assert assert_same_both_ways(path, TEXT)
    table = _quickly(path)["particles"]
    assert table.text("rlnImageName") == [
        "000001@a.mrcs",
        "000002@a#b.mrcs",
        "000003@data_x/c'd;.mrcs",
    ]
    np.testing.assert_array_equal(table.numbers("rlnDefocusU"), [-12.5, 7000.0, np.nan])


@pytest.mark.parametrize(
    "rows",
    [
        ROWS + b"# the end\n",
        ROWS + b"'4@a.mrcs' 1\n",
        ROWS + b'"4@a.mrcs" 1\n',
        ROWS + b"4@a.mrcs\n;1\n;\n",
        ROWS + b"\ndata_more\n_rlnX 1\n",
        ROWS + b"DATA_more\n_rlnX 1\n",
        ROWS + b"Global_ 1\n",
        ROWS + b"_rlnX 1\n",
        ROWS + b"$4 1\n",
        ROWS + b"4@a.mrcs\n",  # a value too few
        ROWS + b"4@\xc3\xa9.mrcs 1\n",
        ROWS + b"4@a.mrcs\x0b1\n",
        ROWS + b"4@a.mrcs\x00 1\n",
        ROWS + b"x" * 300 + b" 1\n",
        b"",
        b"\n \n",
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(rows):
    assert last_loop(TEXT)
    assert last_loop(HEAD + TAGS + rows) is None


@pytest.mark.parametrize(
    "head",
    [
        b"loop_\n_a\n_b\n",  # in no block
        HEAD + b"_a _b\n",
        HEAD + b"_a\n_a\n",
        HEAD + b"_a\n_A\n",
        HEAD.replace(b"loop_ # here", b"_rlnImageName 5\nloop_") + TAGS,  # twice in its block
        HEAD.replace(b"'a b'", b"'a b") + TAGS,
        HEAD.replace(b"loop_ # here", b"LOOP_") + TAGS,
        HEAD.replace(b"data_particles", b"data_optics") + TAGS,
    ],
)
def test_a_head_that_is_not_usual_is_left_to_the_parser(path, head):
    path.write_bytes(head + b"1 2\n3 4\n")
    assert not _quickly(path)


@given(st.binary(max_size=12), st.integers(0, len(TEXT)), st.integers(0, 6))
@example(b"\ndata_a\n", len(TEXT), 0)
@example(b"\x7f", len(HEAD + TAGS), 0)
def test_whatever_is_put_in_the_quick_way_never_differs(path, put, at, dropped):
    """A file that the parser refuses must not be read the quick way either."""
    assert_same_both_ways(path, TEXT[:at] + put + TEXT[at + dropped :])


WORDS = st.text(st.sampled_from("abdglops_@./~-+0123456789#'\";$[]%?"), min_size=1, max_size=9)


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_words_of_all_kinds(path, rows):
    assert_same_both_ways(path, HEAD + TAGS + "".join(f"{a} {b}\n" for a, b in rows).encode())


NUMBERS = st.one_of(
    st.floats(allow_nan=True, width=64).map(repr),
    st.tuples(st.floats(-1e7, 1e7), st.integers(0, 12)).map(lambda v: f"{v[0]:.{v[1]}f}"),
    st.floats(-1e20, 1e20).map("{:e}".format),
    st.integers().map(str),
    st.from_regex(r"[-+]?[0-9]{0,18}\.?[0-9]{0,18}", fullmatch=True).filter(
        lambda t: t.strip("+-.")
    ),
    st.sampled_from(["-0.0", "+5", ".5", "5.", "-.5", "inf", "-nan", "1_000", "00012.50"]),
)


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_numbers_are_those_of_python_to_the_last_bit(tokens):
    text = HEAD + b"_x\n" + "\n".join(tokens).encode()
    column = last_loop(text)[1]["x"]
    expected = np.array([float(token) for token in tokens])
    np.testing.assert_array_equal(column.numbers().view(np.int64), expected.view(np.int64))
    assert column.tokens() == tokens


@pytest.mark.parametrize(
    "token", ["-", ".", "+.", "1-2", "1.2.3", "--1", "1e", "ok", "1,5", "0x10"]
)
def test_what_is_no_number_is_refused(token):
    column = last_loop(HEAD + b"_x\n1.5\n" + token.encode() + b"\n")[1]["x"]
    with pytest.raises(ValueError, match="could not convert"):
        column.numbers()


def test_pieces_join_without_a_seam(path, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 10.0 ** rng.integers(-3, 8, 500)).tolist()
    rows = [f"{row:06d}@{'s' * (row % 40)}.mrcs {value:.6f}\n" for row, value in enumerate(values)]
    text = HEAD + TAGS + "".join(rows).encode()
    whole = last_loop(text)[1]
    monkeypatch.setattr(plain_rows, "PIECE", 57)
    monkeypatch.setattr(plain_rows, "ROWS", 7)
    pieces = last_loop(text)[1]
    for name, column in whole.items():
        assert pieces[name].tokens() == column.tokens()
    np.testing.assert_array_equal(pieces["rlnDefocusU"].numbers(), whole["rlnDefocusU"].numbers())
    assert assert_same_both_ways(path, text)
