"""Faults put into sets of defoci are each named, as the first of their set; healthy sets have none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats

from parfocal.faults import Fault, find_faults
from parfocal.faults.blame import blame
from parfocal.faults.offsets import part_at_an_offset
from parfocal.faults.record import KINDS, worst_first
from parfocal.faults.shuffles import mixed
from parfocal.join import join

from .. import spoil_sets as spoil
from ..spoil_sets import Specimen, given, healthy, healthy_sets, made, specimen

NAN = np.nan


class Case(NamedTuple):
    """A fault, and what it must be called."""

    kind: str
    make: Callable[[Specimen], Callable]
    severity: str = "fault"
    pair: bool = False  # of two sets either may be it, even where the input is known
    least: int = 1  # sets that it takes
    scene: Mapping = MappingProxyType({})
    noise: tuple[float, float] = (60.0, 120.0)  # Å, with an even number of sets and an odd one


def plain(function) -> Callable[[Specimen], Callable]:
    return lambda scene: function


MANY = {"micrographs": 60, "particles": 3500}
CASES = {
    "shifted": Case("shifted", plain(spoil.shifted)),
    "shifted down": Case(
        "shifted", plain(lambda one, rng: spoil.shifted(one, rng, -150.0)), scene=MANY
    ),
    "part shifted": Case(
        "shifted", plain(spoil.partly_shifted), least=2, scene=MANY, noise=(50.0, 40.0)
    ),
    "micrographs shifted": Case("shifted", plain(spoil.shifted_micrographs), least=2, scene=MANY),
    "shuffled": Case("shuffled", plain(spoil.shuffled)),
    "part shuffled": Case("shuffled", plain(spoil.partly_shuffled)),
    "half shuffled": Case(
        "shuffled", plain(lambda one, rng: spoil.partly_shuffled(one, rng, share=0.5))
    ),
    "swapped U and V": Case("swapped U and V", plain(spoil.swapped)),
    "angle off by 90°": Case("swapped U and V", plain(spoil.quarter_turned)),
    "radians for degrees": Case("radians for degrees", plain(spoil.in_radians)),
    "angle lost": Case("angle lost", plain(spoil.without_angle)),
    "angle mirrored": Case("wrong sign of y", plain(spoil.mirrored_angle)),
    "angle from y": Case("angle from the wrong axis", plain(spoil.from_y)),
    "y mirrored": Case("wrong sign of y", plain(spoil.mirrored_coordinates)),
    "x mirrored": Case("wrong sign of x", plain(spoil.mirrored_x)),
    "x and y swapped": Case("x and y swapped", plain(spoil.swapped_coordinates)),
    "planes mirrored": Case(
        "wrong sign of y",
        plain(spoil.mirrored_planes),
        pair=True,
        least=2,
        scene=MANY | {"tilt": 0.08},
    ),
    "planes mirrored along x": Case(
        "wrong sign of x",
        plain(lambda one, rng: spoil.mirrored_planes(one, rng, "coordinate_x")),
        pair=True,
        least=2,
        scene=MANY | {"tilt": 0.08},
    ),
    "missing": Case("rows missing", plain(spoil.missing)),
    "no numbers": Case("rows missing", plain(spoil.without_numbers)),
    "micrograph missing": Case("rows missing", plain(spoil.missing_micrographs)),
    "re-sorted": Case("rows re-sorted", plain(spoil.re_sorted), "note"),
    "pasted": Case("rows re-sorted", plain(spoil.pasted)),
    "pasted within": Case(
        "rows re-sorted", plain(spoil.pasted_within), pair=True, least=2, scene=MANY
    ),
    "one row off": Case("rows re-sorted", plain(spoil.one_row_off), pair=True, least=2, scene=MANY),
    "negative": Case("defocus negative", plain(spoil.negative)),
    "in µm": Case("in µm", plain(spoil.in_micrometres)),
    "in nm": Case("in nm", plain(spoil.in_nanometres)),
    "turned": Case("sign of the change turned", spoil.turned, pair=True, least=2),
    "doubled": Case(
        "change doubled",
        spoil.doubled,
        least=3,
        scene={"micrographs": 200, "particles": 6000, "prior_error": 200.0},
    ),
    "stuck": Case("stuck at a bound", spoil.stuck),
    "one value": Case("one value per micrograph", spoil.one_value, "note"),
}


def spoiled(case: Case, sets: int, noise: float, seed: int):
    """(sets with one spoiled, its name, the input)."""
    rng = np.random.default_rng(seed)
    scene = specimen(rng, **case.scene)
    made_sets = healthy_sets(rng, scene, sets, noise=noise)
    chosen = seed % sets
    made_sets[chosen] = case.make(scene)(made_sets[chosen], rng)
    return made_sets, made_sets[chosen].name, given(scene)


@pytest.mark.parametrize(
    ("name", "sets"),
    [  # two and three sets of every case; one and five in turns
        (name, sets)
        for i, name in enumerate(CASES)
        for sets in (2, 3, 5 if i % 2 else 1)
        if sets >= CASES[name].least
    ],
)
def test_each_fault_is_named_as_the_first_of_its_set(name, sets):
    case = CASES[name]
    made_sets, guilty, base = spoiled(case, sets, case.noise[sets % 2], seed=sets + 7)
    faults = find_faults(join(made_sets, base))
    assert faults, "nothing was found"
    assert (faults[0].kind, faults[0].severity) == (case.kind, case.severity)
    assert faults[0].name in ({guilty, "A or B"} if case.pair and sets == 2 else {guilty})
    wrong = [f for f in faults if f.severity == "fault" and guilty not in f.name.split(" or ")]
    assert not wrong, "another set is blamed"


@pytest.mark.parametrize("seed", range(12))
def test_healthy_sets_have_no_fault(seed):
    rng = np.random.default_rng(1000 + seed)
    scene = specimen(
        rng,
        micrographs=int(rng.choice([1, 3, 8, 20, 60])),
        particles=int(rng.choice([200, 600, 1500, 4000])),
        tilt=rng.choice([0, 0.03, 0.1]),
        prior_error=rng.choice([0, 50, 150]),
        height=rng.choice([50, 100, 150]),
    )
    sets = healthy_sets(rng, scene, 1 + seed % 5, noise=rng.choice([30, 100, 150, 200]))
    assert find_faults(join(sets, given(scene))) == ()
    assert find_faults(join(sets)) == ()


@pytest.mark.parametrize(
    "name", ["shifted", "part shuffled", "swapped U and V", "y mirrored", "pasted", "turned"]
)
def test_of_two_sets_alone_either_may_be_the_one(name):
    case = CASES[name]
    for seed in (2, 5):
        sets, _, _ = spoiled(case, 2, 60.0, seed)
        faults = [f for f in find_faults(join(sets)) if f.severity == "fault"]
        assert [(f.name, f.kind) for f in faults] == [("A or B", case.kind)]


@pytest.mark.parametrize(
    "spoils",
    [
        (spoil.shifted, spoil.swapped),
        (spoil.in_micrometres, spoil.shuffled),
        (spoil.negative, spoil.shifted),
        (spoil.missing, spoil.mirrored_coordinates),
        (spoil.in_nanometres, spoil.in_radians),
    ],
)
def test_two_faults_of_one_set_are_both_named(spoils):
    kinds = {
        case.make(None): case.kind for case in CASES.values() if case.make.__name__ == "<lambda>"
    }
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        scene = specimen(rng)
        sets = healthy_sets(rng, scene, 3)
        for each in spoils:
            sets[0] = each(sets[0], rng)
        faults = find_faults(join(sets, given(scene)))
        assert {f.kind for f in faults} == {kinds[each] for each in spoils}
        assert {f.name for f in faults} == {"A"}


def test_faults_of_two_sets_are_both_named():
    rng = np.random.default_rng(3)
    scene = specimen(rng, **MANY)
    a, b, c, d = healthy_sets(rng, scene, 4, noise=80)
    sets = [spoil.shifted(a, rng), spoil.partly_shuffled(b, rng), c, spoil.shifted(d, rng, -200.0)]
    found = {(f.name, f.kind) for f in find_faults(join(sets, given(scene)))}
    assert found == {("A", "shifted"), ("B", "shuffled"), ("D", "shifted")}


def test_the_text_says_by_how_much():
    rng = np.random.default_rng(4)
    scene = specimen(rng, **MANY)
    sets = healthy_sets(rng, scene, 3, noise=60)
    (fault,) = find_faults(join([spoil.shifted(sets[0], rng, 300.0), *sets[1:]], given(scene)))
    by, error = map(float, fault.text.split("lie ")[1].split(" Å")[0].split(" ± "))
    assert abs(by - 300) < 4 * error < 60
    assert fault.particles == len(scene.x)
    assert "B, C and input" in fault.text
    part = spoil.partly_shifted(sets[0], rng, 500.0, 0.15)
    (fault,) = find_faults(join([part, *sets[1:]], given(scene)))
    share, rest = fault.text.split(" % ± ")
    assert abs(float(share) - 15) < 4 * float(rest.split(" %")[0])
    assert abs(float(rest.split("about ")[1].split(" Å")[0]) - 500) < 60
    assert fault.particles == pytest.approx(0.15 * len(scene.x), rel=0.3)


def test_missing_rows_are_counted_and_whole_micrographs_named():
    rng = np.random.default_rng(5)
    scene = specimen(rng)
    one, two = healthy_sets(rng, scene, 2)
    (fault,) = find_faults(join([spoil.missing(one, rng, 0.004), two], given(scene)))
    assert (fault.kind, fault.severity, fault.particles) == ("rows missing", "note", 6)
    less = spoil.missing_micrographs(one, rng)
    (fault,) = find_faults(join([less, two], given(scene)))
    assert fault.particles == len(one) - len(less)
    assert "1 micrographs are wholly missing, such as mics/m0000.mrc" in fault.text
    (fault,) = find_faults(join([less, two]))  # the base itself lacks them
    assert (fault.name, fault.kind, fault.severity) == ("A", "rows missing", "fault")


def test_copies_are_named():
    rng = np.random.default_rng(6)
    scene = specimen(rng)
    a, b = healthy_sets(rng, scene, 2)
    copy = replace(a, name="C", defocus=np.round(a.defocus, 2))
    (fault,) = find_faults(join([a, b, copy], given(scene)))
    assert (fault.name, fault.kind) == ("A and C", "same values")
    same = replace(given(scene), name="D")
    (fault,) = find_faults(join([a, b, same], given(scene)))
    assert (fault.name, fault.kind, fault.severity) == ("D", "same as the input", "note")


def test_degrees_for_radians_is_seen_where_the_angles_are_the_inputs():
    rng = np.random.default_rng(7)
    scene = specimen(rng, **MANY)
    own = scene.angle + rng.normal(0, 0.1, 60)[scene.number]
    a, b, c = (replace(one, angle=scene.angle) for one in healthy_sets(rng, scene, 3))
    sets = [spoil.in_degrees(a, rng), b, c]
    (fault,) = find_faults(join(sets, given(scene)))
    assert (fault.name, fault.kind) == ("A", "degrees for radians")
    (fault,) = find_faults(join(sets))  # the spoiled one being the base
    assert (fault.name, fault.kind) == ("A", "degrees for radians")
    # with noise of their own they agree with nothing by any reading, but are too large for radians
    spoiled = spoil.in_degrees(replace(a, angle=own), rng)
    (fault,) = find_faults(join([spoiled, b, c], given(scene)))
    assert (fault.name, fault.kind, fault.severity) == ("A", "degrees for radians", "fault")
    # where whole turns were taken off no more can be said than that they are unlike
    wrapped = replace(spoiled, angle=np.mod(spoiled.angle, np.pi))
    (fault,) = find_faults(join([wrapped, b, c], given(scene)))
    assert (fault.name, fault.kind) == ("A", "astigmatism unlike the others")
    assert fault.severity == "note"
    assert "degrees for radians" in fault.mend


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (spoil.in_degrees, "degrees for radians"),
        (spoil.in_radians, "radians for degrees"),
        (spoil.mirrored_angle, "wrong sign of y"),
        (spoil.swapped, "swapped U and V"),
    ],
)
def test_astigmatism_may_be_much_alike_in_all_micrographs(make, kind, below):
    """As a microscope's own: then the wrong reading is near the right one; and V may be above U."""
    rng = np.random.default_rng(23)
    scene = specimen(rng)
    scene = replace(scene, angle=rng.normal(0.15, 0.1, 20)[scene.number])
    if below:
        scene = replace(scene, half_difference=-scene.half_difference)
    a, b, c = (replace(one, angle=scene.angle) for one in healthy_sets(rng, scene, 3))
    (fault,) = find_faults(join([make(a, rng), b, c], given(scene)))
    assert (fault.name, fault.kind) == ("A", kind)
    assert find_faults(join([a, b, c], given(scene))) == ()


def test_one_micrograph_is_enough_for_swapped_ends_but_not_for_a_mirror():
    rng = np.random.default_rng(24)
    scene = specimen(rng, micrographs=1)
    scene = replace(scene, angle=np.full(len(scene.x), 0.4))
    a, b, c = (replace(one, angle=scene.angle) for one in healthy_sets(rng, scene, 3))
    (fault,) = find_faults(join([spoil.swapped(a, rng), b, c], given(scene)))
    assert (fault.name, fault.kind) == ("A", "swapped U and V")
    assert find_faults(join([spoil.mirrored_angle(a, rng), b, c], given(scene))) == ()


def test_heights_of_other_rows_are_seen_where_the_others_agree():
    rng = np.random.default_rng(8)
    scene = specimen(rng, height=150.0)
    a, b, c = (healthy(rng, scene, name, noise=50.0, wild=0.0) for name in "ABC")
    mixed_up = spoil.shuffled_within(a, rng)
    (fault,) = find_faults(join([mixed_up, b, c], given(scene)))
    assert (fault.name, fault.kind) == ("A", "shuffled")
    assert find_faults(join([a, b, c], given(scene))) == ()
    # a method that finds nothing, where nobody finds much, is not accused
    poor = [healthy(rng, scene, name, noise=300.0) for name in "ABC"]
    poor[0] = spoil.shuffled_within(poor[0], rng)
    assert find_faults(join(poor, given(scene))) == ()


def test_ice_of_two_layers_is_no_shifted_part():
    rng = np.random.default_rng(9)
    scene = specimen(rng, **MANY)
    upper = 600.0 * (rng.random(len(scene.x)) < 0.15)
    scene = replace(scene, truth=scene.truth + upper)
    for count in (1, 2, 3):
        sets = healthy_sets(rng, scene, count, noise=60)
        assert find_faults(join(sets, given(scene))) == ()


def test_fits_that_failed_are_not_shuffled():
    rng = np.random.default_rng(10)
    scene = specimen(rng, **MANY)
    for failed in (
        lambda n: scene.prior + rng.uniform(-3000, 3000, n),  # anywhere near
        lambda n: np.zeros(n) + 12_000.0,  # a default value
        lambda n: rng.uniform(0, 60_000, n),  # anywhere
    ):
        sets = healthy_sets(rng, scene, 3, noise=60)
        lost = rng.random(len(scene.x)) < 0.1
        sets[0] = replace(sets[0], defocus=np.where(lost, failed(len(lost)), sets[0].defocus))
        assert [f.kind for f in find_faults(join(sets, given(scene)))] == []


def test_particles_on_a_line_have_no_axis_that_could_be_swapped():
    rng = np.random.default_rng(21)
    scene = specimen(rng)
    scene = replace(scene, y=scene.x + 100.0)
    assert find_faults(join(healthy_sets(rng, scene, 3), given(scene))) == ()


def test_a_constant_that_was_added_to_the_input_is_a_shift_not_a_bound():
    rng = np.random.default_rng(22)
    scene = specimen(rng, **MANY)
    added = made(scene, "A", scene.prior + 300.0)
    faults = find_faults(join([added, *healthy_sets(rng, scene, 3)[1:]], given(scene)))
    assert {(f.name, f.kind) for f in faults} == {
        ("A", "shifted"),
        ("A", "one value per micrograph"),
    }


def test_a_common_change_from_the_input_is_nobodys_fault():
    rng = np.random.default_rng(11)
    scene = specimen(rng)
    scene = replace(scene, truth=scene.truth + 400.0)
    assert find_faults(join(healthy_sets(rng, scene, 3), given(scene))) == ()


def test_one_micrograph_may_change_from_the_input_as_a_whole():
    rng = np.random.default_rng(25)
    scene = specimen(rng, micrographs=1, prior_error=0.0)
    scene = replace(scene, truth=scene.truth + 400.0)
    assert find_faults(join(healthy_sets(rng, scene, 1, noise=60), given(scene))) == ()


def test_failed_fits_do_not_hide_a_shuffle():
    rng = np.random.default_rng(26)
    for count in (2, 3, 5):
        scene = specimen(rng)
        sets = [healthy(rng, scene, n, noise=40.0, wild=0.15) for n in "ABCDE"[:count]]
        sets[0] = spoil.partly_shuffled(sets[0], rng)
        (fault,) = find_faults(join(sets, given(scene)))
        assert (fault.name, fault.kind) == ("A", "shuffled")


def test_levels_a_few_angstroms_apart_are_no_fault():
    rng = np.random.default_rng(12)
    scene = specimen(rng, **MANY)
    a, b, c = healthy_sets(rng, scene, 3, noise=30)
    assert find_faults(join([spoil.shifted(a, rng, 12.0), b, c], given(scene))) == ()


def test_a_posterior_that_is_drawn_to_the_input_is_no_fault():
    rng = np.random.default_rng(13)
    scene = specimen(rng, **MANY)
    sets = healthy_sets(rng, scene, 4, noise=100)
    drawn = scene.prior + 0.4 * (sets[0].defocus - scene.prior)
    assert find_faults(join([made(scene, "A", drawn), *sets[1:]], given(scene))) == ()


def test_sets_without_astigmatism_coordinates_or_prior_are_judged_by_the_rest():
    rng = np.random.default_rng(14)
    scene = specimen(rng)
    nan = np.full(len(scene.x), NAN)
    bare = {"half_difference": nan, "angle": nan, "coordinate_x": nan, "coordinate_y": nan}
    sets = [replace(one, **bare) for one in healthy_sets(rng, scene, 3)]
    assert find_faults(join(sets)) == ()
    (fault,) = find_faults(join([spoil.shifted(sets[0], rng), *sets[1:]]))
    assert (fault.name, fault.kind) == ("A", "shifted")


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_handful_of_particles_is_too_few_to_judge(n):
    rng = np.random.default_rng(15)
    scene = specimen(rng, particles=n, micrographs=1)
    sets = healthy_sets(rng, scene, 2, noise=30)
    assert find_faults(join([spoil.shifted(sets[0], rng), sets[1]], given(scene))) == ()


def test_a_set_of_which_nothing_is_trusted_is_missing():
    rng = np.random.default_rng(16)
    scene = specimen(rng)
    a, b = healthy_sets(rng, scene, 2)
    empty = spoil.without_numbers(a, rng, 1.0)
    (fault,) = find_faults(join([empty, b], given(scene)))
    assert (fault.name, fault.kind, fault.particles) == ("A", "rows missing", len(a))


# --- the parts that they rest on ---


@pytest.mark.parametrize(
    ("strength", "sets", "expected"),
    [
        ([[NAN, 1], [1, NAN]], 2, [(0, 1)]),  # two sets alone
        ([[NAN, 1], [1, NAN]], 1, [(0,)]),  # a set and the prior
        ([[NAN, 0], [0, NAN]], 2, []),
        ([[NAN, 1, 1], [1, NAN, 0], [1, 0, NAN]], 3, [(0,)]),
        ([[NAN, 1, 1], [1, NAN, 0], [1, 0, NAN]], 2, [(0,)]),
        ([[NAN, 0, 1], [0, NAN, 1], [1, 1, NAN]], 2, []),  # both differ from the prior alike
        ([[NAN, 1, 0], [1, NAN, 0], [0, 0, NAN]], 2, [(0, 1)]),  # the prior sides with both
        ([[NAN, 3, 3], [3, NAN, 2], [3, 2, NAN]], 2, [(0,), (1,)]),  # two bad, the clearer first
        ([[NAN, 1, 1], [0, NAN, 0], [0, 0, NAN]], 3, [(0,)]),  # directed
        ([[NAN, NAN], [NAN, NAN]], 2, []),
    ],
)
def test_who_is_to_blame(strength, sets, expected):
    assert blame(np.array(strength, dtype=float), sets) == expected


@pytest.mark.parametrize("share", [0.06, 0.15, 0.3])
@pytest.mark.parametrize("offset", [-900.0, 500.0, 700.0])
def test_a_part_at_an_offset_is_measured(share, offset):
    rng = np.random.default_rng(17)
    n = 20_000
    values = 150 * rng.standard_t(4, n) + offset * (rng.random(n) < share)
    found = part_at_an_offset(values, 1.0)
    assert found is not None
    assert found.share == pytest.approx(share, rel=0.25)
    assert found.offset == pytest.approx(offset, rel=0.15)


@pytest.mark.parametrize(
    "drawn", [scipy.stats.norm(0, 200), scipy.stats.t(2.5, 0, 150), scipy.stats.laplace(0, 150)]
)
def test_heavy_tails_are_no_part_at_an_offset(drawn):
    rng = np.random.default_rng(18)
    for _ in range(10):
        assert part_at_an_offset(drawn.rvs(4000, random_state=rng), 5.0) is None


@pytest.mark.parametrize(
    "drawn",
    [
        scipy.stats.gamma(6, 0, 80),
        scipy.stats.gumbel_r(0, 150),
        scipy.stats.exponnorm(1.5, 0, 120),
        scipy.stats.exponnorm(3, 0, 120),
    ],
)
def test_a_skew_tail_is_never_a_second_mode(drawn):
    rng = np.random.default_rng(18)
    for _ in range(10):
        found = part_at_an_offset(drawn.rvs(4000, random_state=rng), 5.0)
        assert found is None or not found.apart
    apart = 150 * rng.standard_t(4, 4000) + 1000 * (rng.random(4000) < 0.1)
    found = part_at_an_offset(apart, 5.0)
    assert found is not None
    assert found.apart


def test_what_may_be_skew_errors_is_only_noted():
    rng = np.random.default_rng(20)
    scene = specimen(rng, **MANY)
    sets = healthy_sets(rng, scene, 3, noise=60)
    skew = sets[0].defocus + rng.exponential(250.0, len(scene.x))
    faults = find_faults(
        join([made(scene, "A", skew - np.median(skew - sets[0].defocus)), *sets[1:]])
    )
    assert {f.severity for f in faults} <= {"note"}
    # as is a shifted part that the noise hides half
    sets = healthy_sets(rng, scene, 4, noise=130)
    (fault,) = find_faults(join([*sets[:3], spoil.partly_shifted(sets[3], rng)], given(scene)))
    assert (fault.name, fault.kind, fault.severity) == ("D", "shifted", "note")


def test_the_share_that_is_shuffled_is_measured():
    rng = np.random.default_rng(19)
    for share in (0.05, 0.3, 0.6, 1.0):
        y = rng.uniform(8_000, 20_000, 20_000)
        x = y + rng.normal(0, 200, y.size)
        rows = rng.choice(y.size, round(share * y.size), replace=False)
        x[rows] = x[rng.permutation(rows)]
        found = mixed(x, y, 8_000, 20_000)
        assert found is not None
        assert found.share == pytest.approx(share, rel=0.15)
    assert mixed(y + rng.normal(0, 200, y.size), y, 8_000, 20_000) is None


def test_a_fault_is_one_line_and_the_worst_comes_first():
    def fault(kind, severity="fault", particles=1):
        return Fault(
            name="A",
            kind=kind,
            particles=particles,
            severity=severity,
            text="off\nby far",
            mend="do",
        )

    assert str(fault("shifted")) == "A: shifted: off by far - do"
    assert str(fault("shifted", "note")) == "A: shifted (note): off by far - do"
    drawn = [fault("in µm", "note"), fault("shifted", particles=9), fault("shuffled")]
    drawn.append(fault("shifted", particles=10))
    ordered = [(f.kind, f.severity, f.particles) for f in worst_first(drawn)]
    assert ordered == [
        ("shuffled", "fault", 1),
        ("shifted", "fault", 10),
        ("shifted", "fault", 9),
        ("in µm", "note", 1),
    ]
    with pytest.raises(ValueError, match="no fault is called"):
        fault("odd")
    assert len(set(KINDS)) == len(KINDS)
