"""Stability: what a repeat can see, what folds can see, and what neither can."""

import numpy as np
import pytest

from parfocal.agreement import Column, agree, bare_column, columns_of
from parfocal.defocus_set import FOLD_SHARE
from parfocal.errors import InputError
from parfocal.grouped import groups_of
from parfocal.join import join
from parfocal.stability import fold_stability, repeat

from .folds_of_noise import whole_and_folds
from .test_defocus_set import made_set

MICROGRAPHS, EACH = 60, 50
N = MICROGRAPHS * EACH
GROUPS = groups_of(np.repeat([f"m{i}" for i in range(MICROGRAPHS)], EACH))
HEIGHTS, IMAGE, PROGRAM = 80.0, 60.0, 25.0  # Å


def runs(seed=0, *, claimed=1.0, image_shared=True, bias=0.0, **known) -> tuple[Column, ...]:
    """Two runs on the same images: they share the images' noise, and each adds its own."""
    rng = np.random.default_rng(seed)
    truth = 1e4 + rng.normal(0, 500, MICROGRAPHS)[GROUPS.index] + rng.normal(0, HEIGHTS, N)
    noise = rng.normal(0, 1, (N, 3))
    size = IMAGE * rng.uniform(0.5, 1.5, N)
    sets = []
    for number in range(2):
        image = noise if image_shared else rng.normal(0, 1, (N, 3))
        whole, folds = whole_and_folds(size[:, None] * image + rng.normal(0, PROGRAM, (N, 3)))
        fold = truth[:, None] + folds + number * bias
        sets.append(
            made_set(
                [f"{i + 1}@s" for i in range(N)],
                truth + whole + number * bias,
                name=f"run {number + 1}",
                micrograph=np.array(GROUPS.names, dtype=object)[GROUPS.index],
                error=claimed * np.hypot(size, PROGRAM),
                fold_1=fold[:, 0],
                fold_2=fold[:, 1],
                **known,
            )
        )
    return columns_of(join(sets), GROUPS)


TRUE_ERROR = np.sqrt(IMAGE**2 * (1 + 1 / 12) + PROGRAM**2)  # of one run, root mean square


def test_a_repeat_on_the_same_images_sees_only_the_program():
    found = repeat(GROUPS, *runs(bias=12.0))
    assert abs(found.implied_error.value - PROGRAM) < 4 * found.implied_error.error
    assert found.implied_error.error < 0.03 * PROGRAM
    assert found.difference.value == pytest.approx(found.implied_error.value * np.sqrt(2))
    assert found.claimed_error == pytest.approx(TRUE_ERROR, rel=0.03)
    assert found.pull.value < 0.6
    assert found.agreement.pooled.value > 0.9
    assert abs(found.agreement.bias.value - 12) < 4 * found.agreement.bias.error
    assert found.agreement.names == ("run 1", "run 2")


def test_a_repeat_on_other_images_sees_the_whole_error():
    found = repeat(GROUPS, *runs(image_shared=False))
    assert abs(found.implied_error.value - TRUE_ERROR) < 4 * found.implied_error.error
    assert abs(found.pull.value - 1) < 4 * found.pull.error
    assert found.pull.error < 0.02


def test_folds_see_the_whole_error_of_one_run():
    run = runs()[0]
    found = fold_stability(GROUPS, run)
    halves = [bare_column(GROUPS, str(fold), values) for fold, values in enumerate(run.folds.T)]
    assert abs(found.implied_error.value - TRUE_ERROR) < 4 * found.implied_error.error
    assert found.claimed_error == pytest.approx(TRUE_ERROR, rel=0.03)
    assert abs(found.pull.value - 1) < 4 * found.pull.error
    expected = HEIGHTS**2 / (HEIGHTS**2 + TRUE_ERROR**2 / FOLD_SHARE)
    assert abs(found.pooled.value - expected) < 4 * found.pooled.error
    assert found.pooled == agree(GROUPS, *halves).pooled
    assert not found.posterior


@pytest.mark.parametrize("claimed", [0.7, 1.4])
def test_wrong_error_bars_are_seen_by_folds(claimed):
    found = fold_stability(GROUPS, runs(claimed=claimed)[0])
    assert found.pull.value == pytest.approx(1 / claimed, abs=4 * found.pull.error)
    assert abs(found.pull.value - 1) > 8 * found.pull.error
    assert found.claimed_error == pytest.approx(claimed * TRUE_ERROR, rel=0.03)


def test_standard_errors():
    pulls, errors, sizes, claimed = [], [], [], []
    for seed in range(60):
        found = fold_stability(GROUPS, runs(seed)[0])
        pulls.append(found.pull.value)
        errors.append(found.pull.error)
        sizes.append(found.implied_error.value)
        claimed.append(found.implied_error.error)
    for values, told in ((pulls, errors), (sizes, claimed)):
        assert np.mean(told) / np.std(values, ddof=1) == pytest.approx(1, abs=4 / np.sqrt(2 * 60))


def test_without_error_bars_nothing_is_claimed():
    found = repeat(GROUPS, *runs(claimed=np.nan))
    assert np.isnan([found.claimed_error, *found.pull]).all()
    assert found.implied_error.value == pytest.approx(PROGRAM, rel=0.1)


def test_particles_that_are_not_trusted_do_not_count():
    ok = np.arange(N) % 3 > 0
    first, second = runs(ok=ok)
    assert repeat(GROUPS, first, second).agreement.particles == ok.sum()
    assert fold_stability(GROUPS, first).particles == ok.sum()


def test_folds_of_a_posterior_are_marked():
    assert fold_stability(GROUPS, runs(posterior=True)[0]).posterior


def test_nothing_to_compare():
    first, second = runs()
    none = second.take(np.zeros(N, dtype=bool))
    with pytest.raises(InputError, match="0 particles that both run 1 and run 2 trust"):
        repeat(GROUPS.take(np.zeros(N, dtype=bool)), first.take(np.zeros(N, dtype=bool)), none)
    bare = runs(ok=np.arange(N) < 1)[0]
    with pytest.raises(InputError, match="1 particles with folds that run 1 trusts"):
        fold_stability(GROUPS, bare)
