"""The page and its figures: every number arrives, nothing is fetched, nothing a user names is run."""

import dataclasses
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from parfocal.conventions import DEGREE
from parfocal.estimates import LIKELY_CAUSES, DefocusEstimates, Status
from parfocal.ice import PlaneFit, fit_planes, ice_heights
from parfocal.report.content import (
    CurveExample,
    MethodSummary,
    OpticsSpectrum,
    PageContent,
    bin_edges,
    binned,
    choose_micrographs,
    summarise_micrographs,
)
from parfocal.report.figures import curve_figure, histogram_figure, overview_figure, spectrum_figure
from parfocal.report.method_page import MAX_MICROGRAPHS, method_page
from parfocal.report.micrograph import MAX_PARTICLES, micrograph_figure
from parfocal.report.page import render_page
from parfocal.verdict import held_out_gain

NASTY = "<script>alert('x')</script>"


def made_up(n_micrographs, n_particles, *, name="mic_{:05d}.mrc", seed=1) -> DefocusEstimates:
    """Tilted ice with two sheets of particles; every status is present."""
    rng = np.random.default_rng(seed)
    n = n_micrographs * n_particles
    micrograph = np.repeat([name.format(i) for i in range(n_micrographs)], n_particles)
    x, y = rng.uniform(0, 4000, (2, n))
    slope = np.repeat(rng.normal(0, 0.05, n_micrographs), n_particles)
    error = rng.gamma(9, 5, n)
    status = rng.permutation(np.arange(n) % 50).clip(0, 5)[::-1] * (rng.random(n) < 0.1)
    change = slope * (x - 2000) + rng.choice([-80, 80], n) + rng.normal(0, error)
    return DefocusEstimates(
        method="made-up",
        particle_id=np.array([f"{i + 1:07d}@stack.mrcs" for i in range(n)]),
        micrograph=micrograph,
        coordinate_x=x,
        coordinate_y=y,
        defocus_prior=np.repeat(rng.uniform(9e3, 2e4, n_micrographs), n_particles),
        defocus_change=np.where(status == Status.OK, change, 0.0),
        defocus_error=np.where(status >= Status.NON_FINITE, np.nan, error),
        ice_height=np.full(n, np.nan),
        held_out_gain=rng.normal(1, 1, n),
        status=status.astype(int),
        version="0.0",
    )


def content_of(estimates, planes=None, **others) -> PageContent:
    planes = fit_planes(estimates) if planes is None else planes
    estimates = dataclasses.replace(estimates, ice_height=ice_heights(estimates, planes))
    texts = {"title": "A set", "summary": ("It helps.",), **others}
    return PageContent(estimates=estimates, planes=planes, **texts)


def as_html(content: PageContent) -> str:
    return render_page(method_page(content))


def example(label="good", particle_id="1@a.mrcs") -> CurveExample:
    change = np.linspace(-500, 500, 101)
    folds = tuple(-(((change - middle) / 50) ** 2) / 4 for middle in (90.0, 110.0))
    return CurveExample(
        label=label,
        particle_id=particle_id,
        change=change,
        log_likelihood=7 + folds[0] + folds[1],
        folds=folds,
        estimate=100.0,
        error=50.0,
    )


def spectrum(name="optics 1") -> OpticsSpectrum:
    k = np.linspace(0.01, 0.4, 40)
    return OpticsSpectrum(optics_group=name, frequency=k, signal=np.exp(-50 * k**2), noise=1 + k)


@pytest.fixture(scope="module")
def small() -> PageContent:
    return content_of(
        made_up(12, 80),
        curves=(example(), example("bad")),
        spectra=(spectrum(),),
        warnings=("Mind the gap.",),
        calibration_factor=1.25,
        cpu_seconds=9.6,
        run={"settings": {"range": 2000}},
    )


@pytest.fixture(scope="module")
def page(small) -> str:
    return as_html(small)


class Tags(HTMLParser):
    """Every tag with its attributes, and the text of every script that is data."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._inside = (
            attributes.get("id") if attributes.get("type") == "application/json" else None
        )

    def handle_data(self, data):
        if self._inside:
            self.data[self._inside] = json.loads(data)
            self._inside = None


def without_plotly(page):
    return page.replace(get_plotlyjs(), "")


def columns(page, table) -> dict[str, list]:
    """The columns of a table of the page by their names in its CSV file."""
    stored = Tags(without_plotly(page)).data[f"data-{table}"]["columns"]
    found = {column["name"]: column["values"] for column in stored}
    return found | {c["errorName"]: c["errors"] for c in stored if "errors" in c}


# --- the page ---------------------------------------------------------------------------------


def test_page_holds_the_verdict_and_every_count(page, small):
    text = without_plotly(page)
    assert "It helps." in text
    assert "Mind the gap." in text
    assert ">960<" in text
    assert "on 12 micrographs" in text
    assert "1.25" in text
    assert "10.0 ms" in text
    assert "2000" in text
    counts = small.estimates.counts()
    assert all(counts.values()), "every status must be there for this test to mean anything"
    table = columns(page, "status")
    assert dict(zip(table["status"], table["particles"], strict=True)) == counts
    assert sum(table["share_percent"]) == pytest.approx(100, abs=1e-3)


def test_the_gain_is_that_of_run_json(page, small):
    """Of the particles whose change is used, not of all that were scored."""
    gain, error = held_out_gain(small.estimates)
    every = np.nanmean(small.estimates.held_out_gain)
    assert gain == pytest.approx(small.estimates.held_out_gain[small.estimates.ok()].mean())
    assert gain != every, "or this test could not fail"
    text = re.search(
        r"held-out gain</div><div class=\"value\">([^<]*)</div>\s*<div [^>]*>([^<]*)", page
    )
    assert text
    assert text[1] == f"{gain:+.2f}"
    assert text[2].startswith(f"± {error:.2f} nats")


def method(name, link="", **numbers) -> MethodSummary:
    facts = {"ok": 1234, "median_error": 41.6, "change_sd": 99.0, "verdict": "It helps."}
    return MethodSummary(name=name, link=link, **(facts | numbers))


def test_several_methods_are_compared_and_linked(small, page):
    other = method("other", "other/report.html", median_error=None, verdict=NASTY)
    text = without_plotly(as_html(replace(small, methods=(method("made-up"), other))))
    table = columns(text, "methods")
    assert table["method"] == ["made-up", "other"]
    assert table["ok"] == [1234, 1234]
    assert table["median_error_A"] == [41.6, None]
    assert table["verdict"] == ["It helps.", NASTY]
    stored = Tags(text).data["data-methods"]["columns"][0]
    assert stored["links"] == ["", "other/report.html"]
    assert '<a href="other/report.html">other</a>' in text
    assert NASTY not in text


def test_one_method_needs_no_comparison(small):
    assert 'id="methods"' not in as_html(replace(small, methods=(method("made-up"),)))


def test_page_names_the_likely_causes(page):
    assert columns(page, "status")["causes"] == list(LIKELY_CAUSES.values())


def test_page_fetches_nothing(page):
    tags = Tags(without_plotly(page)).tags
    links = [a[key] for _, a in tags for key in ("src", "href", "action", "data") if a.get(key)]
    assert links
    assert all(link.startswith("#") for link in links)
    assert {tag for tag, _ in tags}.isdisjoint({"link", "img", "iframe", "object", "embed"})
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest", without_plotly(page))
    policy = next(a["content"] for t, a in tags if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_page_offers_no_upload_of_the_data(page):
    assert "showSendToCloud: false" in page
    assert 'plotlyServerURL: ""' in page


def test_every_link_within_the_page_has_its_place(page):
    tags = Tags(without_plotly(page)).tags
    ids = {a["id"] for _, a in tags if "id" in a}
    assert {a["href"][1:] for t, a in tags if t == "a" and "href" in a} <= ids


def test_what_users_name_is_shown_and_not_run():
    estimates = made_up(3, 20, name=NASTY + "{}.mrc")
    estimates = dataclasses.replace(
        estimates, method=NASTY, particle_id=np.char.add(NASTY, estimates.particle_id)
    )
    content = content_of(
        estimates,
        title=NASTY,
        summary=(NASTY,),
        warnings=(NASTY,),
        curves=(example(NASTY, NASTY),),
        spectra=(spectrum(NASTY),),
        run={NASTY: {NASTY: NASTY}},
    )
    page = as_html(content)
    assert NASTY not in page
    assert "alert" in page
    assert columns(page, "micrographs")["micrograph"][0] == NASTY + "0.mrc"  # whole, as data


def test_the_table_has_every_micrograph(page, small):
    table = columns(page, "micrographs")
    assert table["micrograph"] == list(small.planes)
    assert table["particles"] == [80] * 12
    for name, of in (("tilt_deg", "tilt"), ("tilt_axis_error_deg", "tilt_axis_error")):
        wanted = [getattr(plane, of) / DEGREE for plane in small.planes.values()]
        np.testing.assert_allclose(table[name], wanted, rtol=1e-5)
    spreads = [plane.spread for plane in small.planes.values()]
    np.testing.assert_allclose(table["spread_A"], spreads, rtol=1e-5)


@pytest.mark.parametrize("n_particles", [1, 3])
def test_micrographs_without_a_plane_have_gaps_not_errors(n_particles):
    page = as_html(content_of(made_up(2, n_particles)))
    assert columns(page, "micrographs")["tilt_deg"] == [None, None]
    assert "NaN" not in page.split("data-micrographs")[1].split("</script>")[0]


def test_a_micrograph_that_is_chosen_is_in_the_table(page):
    found = Tags(without_plotly(page)).data
    assert found["data-micrograph"]["table"] == "micrographs"
    assert found["data-micrograph"]["names"] == columns(page, "micrographs")["micrograph"]


def test_the_paragraph_for_a_paper_has_the_numbers_of_the_run(page, small):
    text = page.partition('id="paper"')[2].partition("</section>")[0]
    ok = small.estimates.ok()
    change = small.estimates.defocus_change[ok]
    for fact in (
        "each of 960 particles from 12 micrographs",
        "parfocal 0.0 (method made-up)",
        f"{ok.sum():,} particles ({100 * ok.mean():.1f} %)",
        f"standard deviation of {change.std():.0f} Å",
        "by a factor of 1.25",
        f"{held_out_gain(small.estimates)[0]:+.2f} ±",
    ):
        assert fact in text


def test_nothing_ok_and_nothing_at_all_still_make_a_page():
    estimates = made_up(2, 30)
    n = len(estimates)
    failed = dataclasses.replace(
        estimates, status=np.full(n, Status.NOT_READ), defocus_change=np.zeros(n)
    )
    assert "0.0 %" in as_html(content_of(failed))
    empty = {name: column[:0] for name, column in estimates.columns().items()}
    assert "–" in as_html(content_of(dataclasses.replace(estimates, **empty)))


def test_ok_is_not_rounded_up_to_all():
    estimates = made_up(1, 5000)
    status = np.where(np.arange(5000) == 7, Status.FLAT, Status.OK)
    change = np.where(status == Status.OK, 1.0, 0.0)
    estimates = dataclasses.replace(
        estimates, status=status, defocus_change=change, defocus_error=np.full(5000, 9.0)
    )
    assert "99.9 %" in as_html(content_of(estimates))


def test_a_million_particles_stay_below_20_mb():
    estimates = made_up(8000, 125, name="MotionCorr/job003/Movies/FoilHole_{:05d}_Fractions.mrc")
    rng = np.random.default_rng(2)
    planes = {  # fitting 8,000 would be the slow part of this test
        name: PlaneFit(
            kind="plane",
            n_particles=125,
            n_outliers=0,
            mean_x=2000.0,
            mean_y=2000.0,
            mean_defocus=1e4,
            a=float(rng.normal(0, 0.05)),
            b=float(rng.normal(0, 0.05)),
            covariance=np.eye(3),
            r_squared=0.5,
            spread=float(rng.uniform(50, 150)),
        )
        for name in np.unique(estimates.micrograph)
    }
    page = as_html(content_of(estimates, planes))
    assert len(page.encode()) < 20e6
    assert "1,000,000" in page
    assert f"<b>{MAX_MICROGRAPHS} of 8,000 micrographs can be chosen</b>" in page


# --- the figures ------------------------------------------------------------------------------


def test_micrograph_figure_holds_its_particles_and_plane(small):
    estimates, (name, plane) = small.estimates, next(iter(small.planes.items()))
    rows = np.flatnonzero(estimates.micrograph == name)
    figure = micrograph_figure(estimates, rows, plane)
    spots = {trace.name: trace for trace in figure.data if trace.type == "scatter3d"}
    for status in Status:
        mine = rows[estimates.status[rows] == status]
        assert len(mine) == (len(spots[status.label].x) if status.label in spots else 0)
    good = rows[estimates.ok()[rows]]
    np.testing.assert_allclose(spots["ok"].z, estimates.defocus[good], atol=0.01)
    np.testing.assert_allclose(spots["ok"].marker.color, estimates.defocus_change[good], atol=0.01)
    np.testing.assert_allclose(
        spots["ok"].customdata[:, 1], estimates.defocus_error[good], rtol=1e-6
    )
    assert list(spots["ok"].text) == list(estimates.particle_id[good])
    assert figure.layout.meta["linked"]
    for trace in figure.data:  # the same id is the same particle, in space and from above
        if trace.ids is not None:
            np.testing.assert_array_equal(trace.x, estimates.coordinate_x[trace.ids].astype("f4"))
    assert sorted(i for t in figure.data if t.ids is not None for i in t.ids) == sorted([*rows] * 2)
    (sheet,) = (trace for trace in figure.data if trace.type == "surface")
    for i, y in enumerate(sheet.y):
        for j, x in enumerate(sheet.x):
            assert sheet.z[i][j] == pytest.approx(plane.at(x, y))


def test_the_tilt_axis_that_is_drawn_has_the_same_defocus_all_along(small):
    estimates, (name, plane) = small.estimates, next(iter(small.planes.items()))
    figure = micrograph_figure(estimates, np.flatnonzero(estimates.micrograph == name), plane)
    (axis,) = (trace for trace in figure.data if trace.name == "tilt axis")
    np.testing.assert_allclose(plane.at(axis.x, axis.y), plane.mean_defocus)


def test_a_crowded_micrograph_is_thinned_out():
    estimates = made_up(1, 3 * MAX_PARTICLES)
    figure = micrograph_figure(
        estimates, np.arange(len(estimates)), PlaneFit(kind="none", n_particles=0, n_outliers=0)
    )
    assert sum(len(t.x) for t in figure.data if t.type == "scatter3d") == MAX_PARTICLES


def test_histograms_count_every_particle_once(small):
    estimates = small.estimates
    figure = histogram_figure(estimates)
    ok, heights = estimates.ok(), np.isfinite(estimates.ice_height)
    total = {}
    for bar in figure.data:
        total[bar.meta["series"]] = int(np.sum(bar.y))
    assert total["defocus change: ok"] == ok.sum()
    assert total["height in the ice: ok"] == heights.sum()
    for status in (Status.OK, Status.AT_BOUND, Status.FLAT, Status.MULTIMODAL):
        assert total[f"its error: {status.label}"] == (estimates.status == status).sum()


def test_end_bins_hold_what_lies_beyond():
    values = np.append(np.random.default_rng(0).normal(0, 10, 2000), [1e6, -1e6, 1e6])
    edges = bin_edges(values)
    counts = binned(values, edges)
    assert np.abs(edges).max() < 100
    assert counts.sum() == len(values)
    assert counts[0] == (values < edges[1]).sum()
    assert counts[-1] == (values >= edges[-2]).sum()


def test_curves_are_those_given_above_their_maxima():
    figure = curve_figure([example(), example("bad")])
    whole, first, second = figure.data[:3]
    given = example()
    np.testing.assert_allclose(whole.x, given.change, atol=1e-3)
    np.testing.assert_allclose(
        whole.y, given.log_likelihood - given.log_likelihood.max(), rtol=1e-5
    )
    for trace, fold in zip((first, second), given.folds, strict=True):
        np.testing.assert_allclose(trace.y, fold - fold.max(), atol=1e-5)
    marks = [(shape.x0, shape.x1) for shape in figure.layout.shapes[:3]]
    assert sorted(marks) == [(0, 0), (50, 150), (100, 100)]  # prior, error band, estimate


def test_a_flat_curve_is_not_drawn_as_a_steep_one():
    flat = dataclasses.replace(example(), log_likelihood=np.zeros(101), folds=())
    low, high = curve_figure([flat]).layout.yaxis.range
    assert low <= -3
    assert high > 0


def test_overview_holds_means_and_tilts(small):
    micrographs = summarise_micrographs(small.estimates, small.planes)
    means, tilts = (t for t in overview_figure(micrographs).data if t.mode == "markers")
    first = (small.estimates.micrograph == micrographs[0].name) & small.estimates.ok()
    change = small.estimates.defocus_change[first]
    assert means.y[0] == pytest.approx(change.mean(), rel=1e-5)
    assert means.customdata[0] == pytest.approx(change.std(ddof=1) / np.sqrt(first.sum()), rel=1e-5)
    np.testing.assert_allclose(tilts.y, [m.plane.tilt / DEGREE for m in micrographs], rtol=1e-5)


def test_spectra_are_those_given():
    figure = spectrum_figure([spectrum("one"), spectrum("two")])
    assert [t.name for t in figure.data] == [
        "one: noise",
        "one: signal",
        "two: noise",
        "two: signal",
    ]
    np.testing.assert_allclose(figure.data[1].y, spectrum().signal, rtol=1e-6)


def test_micrographs_are_chosen_over_the_whole_range_of_tilt_and_spread():
    estimates = made_up(200, 12)
    micrographs = summarise_micrographs(estimates, fit_planes(estimates))
    chosen = set(choose_micrographs(micrographs, 20))
    assert 10 <= len(chosen) <= 20
    for value in (lambda m: m.plane.tilt, lambda m: m.plane.spread):
        ranked = sorted(micrographs, key=value)
        assert {ranked[0].name, ranked[-1].name} <= chosen
    assert choose_micrographs(micrographs[:20], 20) == tuple(m.name for m in micrographs[:20])
