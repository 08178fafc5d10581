"""docs/gallery: its figures are there, its words are of its numbers, and its judgements can fail."""

import copy
import importlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from parfocal.grouped import Groups
from parfocal.planes_of_sets import fit_all

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "gallery"
sys.path.insert(0, str(ROOT / "benchmarks"))  # what makes the gallery is no part of the package

judges = importlib.import_module("gallery_conclusions")
measures = importlib.import_module("gallery_truth")
words = importlib.import_module("gallery_words").words

README = (FOLDER / "README.md").read_text()
NUMBERS = json.loads((FOLDER / "numbers.json").read_text())
M, PER = 20, 200
INDEX = np.repeat(np.arange(M), PER)
GROUPS = Groups(names=tuple(map(str, range(M))), index=INDEX)


def drawn(*, shared: float, own: float, seed: int = 1):
    """(truth, two sets) of heights of 80 Å, and noise [Å] that the sets share or not; in micrographs."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(10_000, 20_000, M)[INDEX]
    heights, common, a, b = rng.standard_normal((4, len(INDEX)))
    truth = level + 80 * heights
    return truth, truth + shared * common + own * a, truth + shared * common + own * b


# --- the page


def pictures(text: str) -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)


def test_every_figure_named_is_there_and_light():
    named = pictures(README)
    assert len(named) == len(set(named)) >= 10
    assert set(named) == {path.name for path in FOLDER.glob("*.png")}
    sizes = [(FOLDER / name).stat().st_size for name in named]
    assert min(sizes) > 5_000
    assert max(sizes) < 150_000
    assert sum(sizes) < 1_000_000


def test_every_link_leads_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (FOLDER / link).exists(), link


def between(name: str, text: str) -> str:
    found = re.search(f"<!-- {name} -->\n(.*?)\n<!-- end of {name} -->", text, re.DOTALL)
    assert found, name
    return found[1]


def test_the_words_are_those_of_the_numbers():
    made = words(NUMBERS)
    assert set(re.findall(r"<!-- end of (.+?) -->", README)) == set(made)
    for name, text in made.items():
        assert between(name, README) == text
        assert "nan" not in text.lower().split()


def test_other_numbers_would_be_seen():
    other = copy.deepcopy(NUMBERS)
    other["sets"]["relion"]["error"][0] += 0.1
    assert words(other)["figure 8"] != between("figure 8", README)


def test_what_is_said_by_hand_is_so():
    sets, planes, median = (NUMBERS[key] for key in ("sets", "planes", "median"))
    assert planes["gctf"]["r_squared"] > 0.9
    assert planes["gctf"]["scatter"][0] < 20
    assert planes["bayes"]["scatter"][0] < planes["truth"]["scatter"][0]
    for name in ("relion", "cryosparc", "xmipp"):
        assert planes[name]["scatter"][0] > planes["truth"]["scatter"][0]
        implied, true = (NUMBERS["stability"][name][key] for key in ("half", "true"))
        assert measures.tells(implied, true)
    assert not measures.tells(*(NUMBERS["stability"]["gctf"][key] for key in ("half", "true")))
    for name in ("relion", "cryosparc"):  # "on the safe side"
        assert NUMBERS["stability"][name]["folds"][0] > NUMBERS["stability"][name]["true"][0]
    assert abs(median["three_less_than_best"][0]) < 1
    assert median["mean_less_than_best"][0] < median["less_than_best"][0] < 0
    assert sets["four combined"]["error"][0] < sets["mean of four"]["error"][0]
    assert sets["four combined"]["slope"][0] < 0.9


# --- the measures


def test_a_correlation_is_taken_apart_into_height_and_shared_noise():
    truth, a, b = drawn(shared=80, own=40)
    part, beyond = measures.due_to_height(GROUPS, a, b, truth)
    variance = 80**2 + 80**2 + 40**2
    assert abs(part.value - 80**2 / variance) < 4 * part.error
    assert abs(beyond.value - 80**2 / variance) < 4 * beyond.error
    assert 0.001 < part.error < 0.05


def test_nothing_is_beyond_height_where_noise_is_not_shared():
    truth, a, b = drawn(shared=0, own=80)
    assert abs(measures.due_to_height(GROUPS, a, b, truth)[1].value) < 0.05
    truth, a, b = drawn(shared=40, own=80)
    assert measures.due_to_height(GROUPS, a, b, truth)[1].value > 0.05


def test_correlations_are_within_micrographs_and_scipys():
    _, a, b = drawn(shared=0, own=100)
    each = [scipy.stats.pearsonr(a[GROUPS.index == m], b[GROUPS.index == m])[0] for m in range(M)]
    found = measures.average_correlation(GROUPS, a, b)
    np.testing.assert_allclose(found, (np.mean(each), scipy.stats.sem(each)), rtol=1e-9)
    assert scipy.stats.pearsonr(a, b)[0] > 0.99  # over all they agree, as the micrographs differ
    assert measures.correlation(GROUPS, a, b).value < 0.6


def test_shuffled_defoci_know_no_height_and_stay_in_their_micrograph():
    truth, a, _ = drawn(shared=0, own=20)
    dealt = measures.shuffled(GROUPS, a, np.random.default_rng(2))
    for m in range(M):
        assert (np.sort(dealt[GROUPS.index == m]) == np.sort(a[GROUPS.index == m])).all()
    assert abs(measures.correlation(GROUPS, dealt, truth).value) < 4 / np.sqrt(len(INDEX))
    assert measures.correlation(GROUPS, a, truth).value > 0.9


def test_errors_are_root_mean_squares_with_their_errors():
    truth, a, b = drawn(shared=30, own=40)
    found = measures.root_mean_square(GROUPS, a - truth)
    assert abs(found.value - 50) < 4 * 50 / np.sqrt(2 * len(INDEX))
    np.testing.assert_allclose(found.value, np.sqrt(np.mean((a - truth) ** 2)), rtol=1e-12)
    assert 0.5 < found.error / (50 / np.sqrt(2 * len(INDEX))) < 2
    less = measures.difference(GROUPS, (a - truth) / 2, a - truth)
    np.testing.assert_allclose(less.value, -found.value / 2, rtol=1e-12)
    np.testing.assert_allclose(
        measures.ratio(GROUPS, (b - truth) / 2, b - truth), (0.5, 0), atol=1e-9
    )


def test_halves_tell_whether_something_knows_the_error():
    rng = np.random.default_rng(3)
    size = rng.uniform(10, 100, len(INDEX))
    error = size * rng.standard_normal(len(INDEX))
    known, unknown = (measures.halves(GROUPS, error, by) for by in (size, rng.permutation(size)))
    assert measures.above((1 - known.value, known.error))
    assert not measures.above((1 - unknown.value, unknown.error))


def test_planes_are_met_at_the_particles():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 3000, (2, len(INDEX)))
    slope = rng.normal(scale=0.05, size=(2, M))[:, INDEX]
    defocus = 12_000 + slope[0] * x + slope[1] * y
    planes = fit_all(GROUPS, x, y, defocus, "a")
    np.testing.assert_allclose(measures.at_particles(planes, GROUPS, x, y), defocus, atol=1e-6)
    assert np.abs(measures.at_particles(planes, GROUPS, y, x) - defocus).max() > 10


# --- the verdicts


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ({"a": True, "b": True}, "holds"),
        ({"a": False, "b": False}, "does not hold"),
        ({"a": True, "b": False, "c": True}, "only for a, c"),
    ],
)
def test_a_conclusion_is_judged_by_its_parts(parts, verdict):
    assert measures.judged(parts) == verdict


def test_without_parts_nothing_is_judged():
    with pytest.raises(ValueError, match="nothing"):
        measures.judged({})


def test_what_is_above_is_so_by_three_standard_errors():
    assert measures.above((3.1, 1.0))
    assert not measures.above((2.9, 1.0))
    assert not measures.above((3.1, 1.0), 0.5)


def test_an_error_tells_another_to_a_quarter():
    assert measures.tells((80, 0), (100, 0))
    assert not measures.tells((70, 0), (100, 0))
    assert measures.tells((70, 2), (100, 1))  # with three standard errors more


PAIRS = judges.pairs_of(judges.PROGRAMS)


def spoil(numbers, keys, value):
    """`numbers` with `value` in place of what the keys lead to; a tuple of keys leads everywhere."""
    for key in keys[0] if isinstance(keys[0], tuple) else (keys[0],):
        if len(keys) == 1:
            numbers[key] = value
        else:
            spoil(numbers[key], keys[1:], value)


ALL = judges.PROGRAMS
TWINS = {  # judge: (verdict here, what makes the other, that verdict)
    "shapes": ("only for the scatter", [(("planes", ALL, "scatter"), [80, 1])], "does not hold"),
    "random_estimates": ("does not hold", [(("sets", ALL, "truth"), [0.05, 0.03])], "holds"),
    "correlations": ("only for", [(("pairs", tuple(PAIRS), "beyond"), [0.02, 0.03])], "holds"),
    "agreement": ("only for", [(("pairs", tuple(PAIRS), "closer"), [1.0, 0.04])], "does not hold"),
    "against_global": (
        "does not hold",
        [(("global", "correlation", "relion, shuffled"), [0.5, 0.1])],
        "holds",
    ),
    "half_the_ice": (
        "only for a right",
        [(("global", ("beyond_half_ice", "beyond_of_right")), [0.0, 0.0])],
        "holds",
    ),
    "stability": (
        "does not hold",
        [(("stability", ALL, "again"), [80, 2]), (("stability", ALL, "true"), [80, 2])],
        "holds",
    ),
    "unbiased": ("only for", [(("sets", ALL, "slope"), [0.98, 0.02])], "holds"),
    "median": ("only for the four", [(("median", "less_than_best"), [-1.0, 0.6])], "does not hold"),
    "mad_as_error": ("does not hold", [(("mad", "covered"), [0.68, 0.02])], "holds"),
    "mad_as_filter": ("not seen here", [(("mad", "halves"), [0.6, 0.05])], "holds"),
    "limits": ("only for 50 Å, 100 Å", [(("limits", "200"), [3.3, 3.7])], "holds"),
    "not_always": ("holds", [(("sets", ALL, "within"), [50, 2])], "does not hold"),
}


def test_every_judgement_has_its_twin():
    rows = list(judges.conclusions(NUMBERS))
    assert len(rows) == len(TWINS)
    assert {row.text for row in rows} == {getattr(judges, j)(NUMBERS).text for j in TWINS}


@pytest.mark.parametrize("judge", TWINS)
def test_a_judgement_turns_where_the_numbers_are_others(judge):
    here, changes, there = TWINS[judge]
    spoiled = copy.deepcopy(NUMBERS)
    for keys, value in changes:
        spoil(spoiled, keys, value)
    assert getattr(judges, judge)(NUMBERS).verdict.startswith(here)
    assert getattr(judges, judge)(spoiled).verdict.startswith(there)
