"""cryoSPARC files: units, joining by uid, what is refused, what a copy keeps."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from parfocal.conventions import pose_from_cryosparc, rotation_matrix
from parfocal.errors import InputError
from parfocal.io.cryosparc import read_cryosparc, write_cryosparc
from parfocal.io.relion import read_relion

BASE = {
    "uid": ("<u8", 17),
    "blob/path": ("S20", b">J1/extract/a.mrc"),
    "blob/idx": ("<u4", 4),
    "blob/shape": (("<u4", (2,)), 64),
    "blob/psize_A": ("<f4", 2.0),
    "ctf/exp_group_id": ("<u4", 5),
    "ctf/accel_kv": ("<f4", 300),
    "ctf/cs_mm": ("<f4", 2.7),
    "ctf/amp_contrast": ("<f4", 0.1),
    "ctf/df1_A": ("<f4", 12000),
    "ctf/df2_A": ("<f4", 11000),
}
POSE = {
    "alignments3D/pose": (("<f4", (3,)), (0.1, 0.2, 0.3)),
    "alignments3D/shift": (("<f4", (2,)), (1.5, -2.0)),
    "alignments3D/psize_A": ("<f4", 4.0),
}


def records(fields: dict, n: int = 1) -> np.ndarray:
    dtype = [(name, *(t if isinstance(t, tuple) else (t,))) for name, (t, _) in fields.items()]
    array = np.zeros(n, dtype=dtype)
    for name, (_, value) in fields.items():
        array[name] = value
    return array


def save(path, array) -> str:
    with open(path, "wb") as file:
        np.save(file, array)
    return str(path)


def read(tmp_path, **fields):
    """Particles of a file with BASE changed; a value of None leaves the field out."""
    named = {name.replace("__", "/"): value for name, value in fields.items()}
    chosen = {k: v for k, v in (BASE | named).items() if v is not None}
    n = np.size(chosen["uid"][1])
    return read_cryosparc(save(tmp_path / "p.cs", records(chosen, n)))


def test_units(tmp_path):
    particles = read(
        tmp_path,
        ctf__df_angle_rad=("<f4", 0.5),
        ctf__phase_shift_rad=("<f4", 0.25),
        alignments3D__split=("<u4", 1),
        location__micrograph_path=("S10", b">mics/m.mrc"[:10]),
        location__micrograph_shape=(("<u4", (2,)), (1000, 2000)),
        location__center_x_frac=("<f4", 0.25),
        location__center_y_frac=("<f4", 0.25),
        location__micrograph_psize_A=("<f4", 0.5),
        **{name.replace("/", "__"): value for name, value in POSE.items()},
    )
    row = {name: column[0] for name, column in particles.columns().items()}
    assert (row["particle_id"], row["stack"], row["image_index"]) == ("17", "J1/extract/a.mrc", 4)
    assert row["micrograph"] == "mics/m.mr"
    assert (row["defocus_u"], row["defocus_v"]) == (12000, 11000)
    assert (row["defocus_angle"], row["phase_shift"], row["half_set"]) == (0.5, 0.25, 2)
    assert (row["origin_x"], row["origin_y"]) == (6, -8)
    assert (row["coordinate_x"], row["coordinate_y"]) == (250, 375)  # y is counted from above
    expected = pose_from_cryosparc(np.array([POSE["alignments3D/pose"][1]], np.float32))[0]
    assert_allclose(rotation_matrix(row["rot"], row["tilt"], row["psi"]), expected, atol=1e-12)
    (group,) = particles.optics
    assert (group.voltage, group.pixel_size, group.image_size) == (300, 2, 64)
    assert group.spherical_aberration == pytest.approx(2.7)


def test_what_a_file_does_not_say(tmp_path):
    particles = read(tmp_path)
    assert (particles.defocus_angle, particles.phase_shift, particles.half_set) == (0, 0, 0)
    for name in ("coordinate_x", "coordinate_y", "rot", "tilt", "psi", "origin_x", "origin_y"):
        assert np.isnan(getattr(particles, name)), name
    assert particles.micrograph == ["J1/extract/a.mrc"]


@pytest.mark.parametrize(("sign", "phase"), [(-1.0, 0.25), (1.0, 0.25 + np.pi)])
def test_dark_protein_is_a_ctf_turned_over(tmp_path, sign, phase):
    particles = read(tmp_path, ctf__phase_shift_rad=("<f4", 0.25), blob__sign=("<f4", sign))
    assert_allclose(particles.phase_shift, phase)


def test_optics_groups_follow_the_exposure_groups_and_what_differs_in_them(tmp_path):
    particles = read(
        tmp_path,
        uid=("<u8", [1, 2, 3, 4]),
        ctf__exp_group_id=("<u4", [9, 2, 9, 9]),
        blob__psize_A=("<f4", [1, 1, 1, 2]),
    )
    assert_array_equal(particles.optics_group, [0, 1, 0, 2])
    assert [group.pixel_size for group in particles.optics] == [1, 1, 2]
    assert [group.name for group in particles.optics] == [f"exposure group {n}" for n in (9, 2, 9)]


def test_a_passthrough_is_joined_by_uid_whatever_its_order(tmp_path):
    main = save(tmp_path / "p.cs", records(BASE | {"uid": ("<u8", [5, 3, 8])}, 3))
    extra = {
        "uid": ("<u8", [9, 8, 3, 5]),
        "alignments3D/split": ("<u4", [0, 1, 0, 1]),
        "ctf/df1_A": ("<f4", 99),  # what the first file says wins
    }
    passthrough = save(tmp_path / "passthrough.cs", records(extra, 4))
    particles = read_cryosparc(main, [passthrough])
    assert_array_equal(particles.half_set, [2, 1, 2])
    assert_array_equal(particles.defocus_u, 12000)


def test_uids_that_a_passthrough_lacks_are_counted_and_named(tmp_path):
    main = save(tmp_path / "p.cs", records(BASE | {"uid": ("<u8", [5, 3, 8])}, 3))
    for present, says in (([3, 7], "2 of 3 .* such as uid 5"), ([], "3 of 3")):
        extra = {"uid": ("<u8", present), "alignments3D/split": ("<u4", 0)}
        passthrough = save(tmp_path / "passthrough.cs", records(extra, len(present)))
        with pytest.raises(InputError, match=rf"passthrough\.cs: {says}"):
            read_cryosparc(main, [passthrough])


@pytest.mark.parametrize(
    "field", ["ctf/tilt_A", "ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag", "ctf/shift_A"]
)
def test_aberrations_we_cannot_honour_are_refused_unless_ignored(tmp_path, field):
    width = 4 if field in ("ctf/tetra_A", "ctf/anisomag") else 2
    zero, set_ = (BASE | {field: (("<f4", (width,)), v)} for v in (0.0, [0.0] * (width - 1) + [1]))
    assert len(read_cryosparc(save(tmp_path / "zero.cs", records(zero)))) == 1
    path = save(tmp_path / "set.cs", records(set_))
    with pytest.raises(InputError, match=rf"set\.cs: {field} not zero"):
        read_cryosparc(path)
    assert len(read_cryosparc(path, ignore=[field])) == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ctf__df1_A": ("<f4", np.nan)}, "ctf/df1_A, row 1: nan is not a value"),
        ({"ctf__df2_A": ("<f4", np.inf)}, "ctf/df2_A, row 1: inf is not a value"),
        ({"ctf__df2_A": None}, "no field ctf/df2_A"),
        ({"ctf__amp_contrast": None}, "no field ctf/amp_contrast"),
        ({"blob__path": None}, "no field blob/path"),
        ({"ctf__cs_mm": ("<f4", 2.7e7)}, "exposure group 5: spherical_aberration"),
        ({"blob__shape": (("<u4", (2,)), (64, 32))}, "images of 32 × 64 px are not square"),
        ({"blob__sign": ("<f4", 0)}, "blob/sign is neither 1 nor -1"),
        ({"alignments3D__split": ("<u4", 2)}, "alignments3D/split is neither 0 nor 1"),
        ({"uid": ("<u8", [3, 4, 3])}, "particle 3 is in row 1 and again in row 3"),
        ({"uid": ("<u8", [])}, "no particles"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, fields, says):
    with pytest.raises(InputError, match=says) as error:
        read(tmp_path, **fields)
    assert "p.cs" in str(error.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x94CSDAT\x01\x00", r"cryoSPARC 5 \(CSDAT\) - .*cryosparc\.dataset\.Dataset"),
        (b"\x93NUMPY\x01\x00", "cut short"),
        (b"PK\x03\x04", "not a cryoSPARC file"),
        (b"", "not a cryoSPARC file"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, content, says):
    (tmp_path / "p.cs").write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_cryosparc(tmp_path / "p.cs")


def test_half_a_file_is_called_so(tmp_path):
    path = tmp_path / "p.cs"
    save(path, np.zeros(50, dtype=[("uid", "<u8")]))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"cut short.*copy it again"):
        read_cryosparc(path)


def test_python_objects_are_never_loaded(tmp_path):
    path = save(tmp_path / "p.cs", np.array([(1, "x")], dtype=[("uid", "<u8"), ("a", "O")]))
    with pytest.raises(InputError, match="not a cryoSPARC file"):
        read_cryosparc(path)


def test_a_plain_array_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match="no field uid"):
        read_cryosparc(save(tmp_path / "p.cs", np.zeros(3)))
    with pytest.raises(InputError, match="No such file"):
        read_cryosparc(tmp_path / "nowhere.cs")


def test_a_copy_differs_in_two_fields_only(tmp_path, data):
    source = data / "formats" / "t20s_particles.cs"
    before = np.load(source)
    keep = np.arange(len(before)) % 3 > 0
    u, v = before["ctf/df1_A"] + 100.0, before["ctf/df2_A"] - 100.0
    write_cryosparc(source, tmp_path / "copy.cs", u, v)
    write_cryosparc(source, tmp_path / "some.cs", u, v, keep=keep)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.cs", "some.cs"]
    after = np.load(tmp_path / "copy.cs", allow_pickle=False)
    assert after.dtype == before.dtype
    assert_array_equal(after["ctf/df1_A"], u.astype("f4"))
    assert_array_equal(after["ctf/df2_A"], v.astype("f4"))
    for name in set(before.dtype.names) - {"ctf/df1_A", "ctf/df2_A"}:
        assert after[name].tobytes() == before[name].tobytes(), name
    assert np.load(tmp_path / "some.cs").tobytes() == after[keep].tobytes()


def test_the_two_formats_give_the_same_particles(data):
    cs = read_cryosparc(data / "formats" / "empiar_10076_7.cs")
    star = read_relion(data / "formats" / "empiar_10076_7.star")
    assert_array_equal(cs.stack, star.stack)
    assert_array_equal(cs.image_index, star.image_index)
    for name in ("defocus_u", "defocus_v", "defocus_angle", "phase_shift"):
        assert_allclose(getattr(cs, name), getattr(star, name), rtol=1e-6)
    for name in ("rot", "tilt", "psi", "origin_x", "origin_y", "coordinate_x"):
        assert np.isnan(getattr(cs, name)).all(), name
        assert np.isnan(getattr(star, name)).all(), name
    (ours,), (theirs,) = cs.optics, star.optics
    assert ours.image_size == theirs.image_size == 320
    for name in ("voltage", "spherical_aberration", "amplitude_contrast", "pixel_size"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-6)


def test_a_real_refinement(data):
    particles = read_cryosparc(data / "formats" / "t20s_particles.cs")
    assert len(particles) == 11764
    assert len(set(particles.micrograph)) == 196
    assert_array_equal(np.bincount(particles.half_set), [0, 5882, 5882])
    assert np.isfinite(particles.rot).all()
    spread = [
        particles.defocus[particles.micrograph == name].std()
        for name in set(particles.micrograph.tolist())
    ]
    assert np.median(spread) == pytest.approx(115, rel=0.15)
