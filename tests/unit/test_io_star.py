"""STAR: what is read, what survives an edit, what we write."""

import re

import numpy as np
import pytest
import starfile
from hypothesis import given
from hypothesis import strategies as st

from parfocal.errors import InputError
from parfocal.io.files import find_file, replacing
from parfocal.io.star import read_star, write_star
from parfocal.io.star_edit import edit_columns

PARTICLES = b"""# version 30001

data_optics

_rlnVoltage   300.0 # kV

data_particles # the particles

loop_
_rlnImageName #1
_rlnDefocusU #2
_rlnNote #3
_rlnDefocusV #4
000001@a#b.mrcs   1.0  'two words'  2.0
# a comment that says data_particles and loop_
000002@a.mrcs\t3.0  "it's"
   4.0

000003@a.mrcs 5.0
;a text field
with 2 lines
;
6.0

data_last
loop_
_rlnDefocusU
7.0
"""


def read(tmp_path, text: bytes):
    path = tmp_path / "file.star"
    path.write_bytes(text)
    return read_star(path)


def test_tokens_of_all_kinds_are_read(tmp_path):
    blocks = read(tmp_path, PARTICLES)
    assert list(blocks) == ["optics", "particles", "last"]
    table = blocks["particles"]
    assert table.text("rlnImageName") == ["000001@a#b.mrcs", "000002@a.mrcs", "000003@a.mrcs"]
    assert table.text("rlnNote") == ["two words", "it's", "a text field\nwith 2 lines"]
    np.testing.assert_array_equal(table.numbers("rlnDefocusV"), [2.0, 4.0, 6.0])
    assert blocks["optics"].numbers("rlnVoltage") == [300.0]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_line_ends_do_not_matter(tmp_path, line_end):
    blocks = read(tmp_path, PARTICLES.replace(b"\n", line_end))
    np.testing.assert_array_equal(blocks["particles"].numbers("rlnDefocusU"), [1, 3, 5])


def test_a_block_without_a_name_is_read(tmp_path):
    assert read(tmp_path, b"data_\nloop_\n_a\n1\n2\n")[""].text("a") == ["1", "2"]


def test_a_default_fills_a_missing_column_only(tmp_path):
    table = read(tmp_path, PARTICLES)["particles"]
    np.testing.assert_array_equal(table.numbers("rlnPhaseShift", 9.0), [9, 9, 9])
    np.testing.assert_array_equal(table.numbers("rlnDefocusU", 9.0), [1, 3, 5])


def test_a_value_outside_of_a_loop_holds_for_all_rows(tmp_path):
    table = read(tmp_path, b"data_x\n_rlnVoltage 200\nloop_\n_rlnDefocusU\n1\n2\n")["x"]
    np.testing.assert_array_equal(table.numbers("rlnVoltage"), [200, 200])


def test_the_tables_outlive_the_file(tmp_path):
    table = read(tmp_path, PARTICLES)["particles"]
    (tmp_path / "file.star").unlink()
    assert len(table.text("rlnNote")) == len(table) == 3


def test_columns_agree_with_starfile(data):
    path = data / "formats" / "relion31_bgal_refined.star"
    ours, theirs = read_star(path), starfile.read(path)
    assert isinstance(theirs, dict)
    assert list(ours) == list(theirs)
    for name in theirs["particles"]:
        column = theirs["particles"][name]
        table = ours["particles"]
        if column.dtype.kind in "if":
            np.testing.assert_array_equal(table.numbers(name), column)
        else:
            assert table.text(name) == column.tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"data_particles\nloop_\n_a\n_b\n1 2 3\n", "Wrong number of values"),
        (b"data_particles\nloop_\n_a\n1\xe9\n", "not ASCII"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "not a readable STAR file"),
        (b"data_a\n_x 1\ndata_a\n_x 2\n", "duplicate block name"),
        (b"data_a\n_x 'open\n", "not a readable STAR file"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, says):
    with pytest.raises(InputError, match=says) as error:
        read(tmp_path, text)
    assert str(tmp_path / "file.star") in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.star: No such file"):
        read_star(tmp_path / "nowhere.star")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda t: t.numbers("rlnNote"), r"data_particles, _rlnNote, row 1: 'two words' is not a"),
        (lambda t: t.text("rlnGone"), r"data_particles: no column _rlnGone"),
        (lambda t: t.integers("rlnHalf"), r"_rlnHalf, row 2: 1.5 is not a whole number"),
        (lambda t: t.finite("rlnLost"), r"_rlnLost, row 2: nan .* \(2 such rows\)"),
    ],
)
def test_a_wrong_value_is_named_with_block_column_and_row(tmp_path, ask, says):
    head = b"data_particles\nloop_\n_rlnNote\n_rlnHalf\n_rlnLost\n"
    text = head + b"'two words' 1 5\nx 1.5 nan\ny 2 inf\n"
    with pytest.raises(InputError, match=says):
        ask(read(tmp_path, text)["particles"])


def test_columns_of_two_loops_are_not_mixed(tmp_path):
    table = read(tmp_path, b"data_x\nloop_\n_a\n1\n2\nloop_\n_b\n1\n2\n3\n")["x"]
    with pytest.raises(InputError, match="_a has 2 rows, another column 3"):
        table.text("a")


def test_an_edit_changes_the_tokens_of_one_loop_and_nothing_else():
    columns = {"rlnDefocusV": ["20", "40", "60"], "rlnDefocusU": ["10", "30", "50"]}
    edited = edit_columns(PARTICLES, "particles", columns)
    expected = PARTICLES
    for old, new in ((b"  1.0 ", b"  10 "), (b" 2.0\n", b" 20\n"), (b"\t3.0", b"\t30")):
        expected = expected.replace(old, new)
    for old, new in ((b"   4.0", b"   40"), (b" 5.0\n", b" 50\n"), (b";\n6.0", b";\n60")):
        expected = expected.replace(old, new)
    assert edited == expected


@pytest.mark.parametrize("keep", [[True, False, True], [False, True, True], [True, True, False]])
def test_an_edit_can_leave_out_rows(tmp_path, keep):
    tokens = {"rlnDefocusU": ["10", "30", "50"]}
    edited = edit_columns(PARTICLES, "particles", tokens, keep=np.array(keep))
    table = read(tmp_path, edited)["particles"]
    np.testing.assert_array_equal(table.numbers("rlnDefocusU"), np.array([10, 30, 50])[keep])
    np.testing.assert_array_equal(table.numbers("rlnDefocusV"), np.array([2, 4, 6])[keep])
    assert edited.endswith(PARTICLES[PARTICLES.index(b"\ndata_last") :])


@pytest.mark.parametrize(
    ("block", "columns", "says"),
    [
        ("particles", {"rlnGone": ["1"] * 3}, "data_particles has no loop with rlnGone"),
        ("optics", {"rlnVoltage": ["1"]}, "data_optics has no loop with rlnVoltage"),
        ("gone", {"rlnDefocusU": ["1"]}, "data_gone has no loop"),
        ("particles", {"rlnDefocusU": ["1"] * 2}, "data_particles has more rows than 2"),
        ("particles", {"rlnDefocusU": ["1"] * 4}, "data_particles has fewer rows than 4"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(block, columns, says):
    with pytest.raises(InputError, match=f"here.star: {says}"):
        edit_columns(PARTICLES, block, columns, where="here.star")


BLANK = st.sampled_from(
    [b" ", b"\t", b"   ", b"\n", b"\r\n", b" \n\n", b" # data_x 'y\n", b"\n#\n"]
)
WORD = st.one_of(
    st.from_regex(rb"[A-Za-z0-9./@+-][!-~]{0,8}", fullmatch=True),
    st.sampled_from(
        [b"a#b", b"'a b'", b'"c \'d"', b"'it's'", b"[1,2]", b"nan", b";x\n y\n;", b"a;"]
    ),
).filter(lambda w: not re.match(rb"(?i)(data_|save_|loop_$|stop_$|global_$)", w))
WIDTH = 4


@given(
    rows=st.lists(
        st.lists(st.tuples(BLANK, WORD), min_size=WIDTH, max_size=WIDTH), min_size=1, max_size=6
    ),
    column=st.integers(0, WIDTH - 1),
    other=st.integers(0, WIDTH - 1),
)
def test_every_other_token_comment_and_blank_survives(tmp_path_factory, rows, column, other):
    head = b"#\ndata_p\n\nloop_\n" + b"".join(b"_c%d\n" % i for i in range(WIDTH))
    tail = b" \n\ndata_q\nloop_\n_c0\n_c1\n1 2\n# end"
    changed = {column, other}

    def text_with(token) -> bytes:
        return (
            head
            + b"".join(
                blank + b"\n" * (word[:1] == b";") + (token(r, c) if c in changed else word)
                for r, row in enumerate(rows)
                for c, (blank, word) in enumerate(row)
            )
            + tail
        )

    before = text_with(lambda r, c: rows[r][c][1])
    tokens = {f"c{c}": [f"new{r}.{c}" for r in range(len(rows))] for c in changed}
    after = edit_columns(before, "p", tokens)
    assert after == text_with(lambda r, c: f"new{r}.{c}".encode())
    table = read(tmp_path_factory.mktemp("star"), after)["p"]
    for name, column_tokens in tokens.items():
        assert table.text(name) == column_tokens


@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(
                    min_codepoint=32,
                    max_codepoint=255,
                    exclude_characters="\x7f\x85\xa0\xad",
                    exclude_categories=("Cc",),
                ),
                max_size=12,
            ),
            st.text("ab'\";_#$ \n[", max_size=8),
        ),
        max_size=5,
    )
)
def test_what_we_write_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("star") / "own.star"
    rows = [(a, b.rstrip("\n")) for a, b in rows if "\n;" not in b]
    columns = {"a": [a for a, _ in rows], "b": [b for _, b in rows]}
    pairs = {"x": "1 'quoted\"", "y": '{"json": [1, "it\'s"]}'}
    write_star(path, {"run": pairs, "table": columns})
    blocks = read_star(path)
    assert {name: blocks["run"].text(name)[0] for name in pairs} == pairs
    assert blocks["table"].text("a") == columns["a"]
    assert blocks["table"].text("b") == columns["b"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.star"
    path.write_text("old")
    with pytest.raises(ValueError, match="shorter"):
        write_star(path, {"x": {"a": ["1", "2"], "b": ["1"]}})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_makes_missing_folders(tmp_path):
    with replacing(tmp_path / "new" / "folder" / "file") as file:
        file.write(b"x")
    assert (tmp_path / "new" / "folder" / "file").read_bytes() == b"x"


def test_a_name_is_looked_for_beside_the_file_then_above_it_then_here(tmp_path, monkeypatch):
    here, project = tmp_path / "here", tmp_path / "project"
    star = project / "Refine3D" / "job001" / "run_data.star"
    monkeypatch.chdir(tmp_path)
    assert find_file("Extract/a.mrcs", star) == "Extract/a.mrcs"
    here.mkdir()
    monkeypatch.chdir(here)
    for folder in (here, project, star.parent):
        stack = folder / "Extract" / "a.mrcs"
        stack.parent.mkdir(parents=True)
        stack.touch()
        assert find_file("Extract/a.mrcs", star) == str(stack)
    assert find_file(str(here / "Extract" / "a.mrcs"), star) == str(here / "Extract" / "a.mrcs")
