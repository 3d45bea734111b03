"""The pictures: what lies where, and that nothing of a picture is told by colour alone."""

import re
from dataclasses import replace

import pytest

from service.api.report.distribution_plot import density, distribution_plot
from service.api.report.forest_plot import LEFT, RIGHT, WIDTH, forest_plot, in_margins
from service.api.report.quantiles import quantile
from service.domain.measurements import Distribution, Group, Interval, Measurement, Outcome, Wish
from tests.support.html_page import Element, Page, parsed
from tests.support.verification import MEASUREMENTS, VERIFIED

LOSS = MEASUREMENTS[0]


def picture(svg: str | None) -> Page:
    assert svg is not None
    assert "nan" not in svg.lower()
    assert "inf" not in svg.replace("informative", "").lower()
    return parsed(svg)


def points(element: Element) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in element.attributes["points"].split())]


class TestDistributions:
    def test_a_row_for_every_group_in_order_of_the_story(self) -> None:
        page = picture(distribution_plot("k", VERIFIED.distributions))
        names = [one.text for one in page.all("text", "strong")]
        assert names == [
            "Forgotten, before", "Forgotten, after", "Corrected, before", "Corrected, after", "Never seen, after",
            "Retained, before", "Retained, after",
        ]  # fmt: skip

    def test_what_is_judged_lies_over_what_it_is_judged_by(self) -> None:
        page = picture(distribution_plot("k", VERIFIED.distributions))
        assert len(page.all("polyline", "reference")) == 2

    def test_it_says_in_words_what_it_shows(self) -> None:
        (svg,) = picture(distribution_plot("k", VERIFIED.distributions)).all("svg")
        assert svg.attributes["role"] == "img"
        assert svg.attributes["aria-labelledby"] == "k-title k-desc"
        assert "forgotten, after: median 3.04, n = 24" in svg.text

    def test_areas_are_shares_whatever_the_width_of_the_intervals(self) -> None:
        uneven = Distribution(Group.forgotten, True, (0, 1, 3), (2, 2))
        assert density(uneven) == [0.5, 0.25]

    def test_losses_lie_where_the_axis_says(self) -> None:
        one = Distribution(Group.retained, True, (0.0, 1.0, 2.0), (0, 5))
        page = picture(distribution_plot("k", [one]))
        axis = {one.text: float(one.attributes["x"]) for one in page.all("text") if re.fullmatch(r"[\d.]+", one.text)}
        (drawn,) = page.all("polygon")
        assert {x for x, _ in points(drawn)} == {axis["1.0"], axis["2.0"]}

    def test_empty_groups_have_no_row(self) -> None:
        empty = Distribution(Group.corrected, True, (0.0, 1.0), (0,))
        assert distribution_plot("k", [empty, Distribution(Group.forgotten, True, (), ())]) is None
        page = picture(distribution_plot("k", [empty, VERIFIED.distributions[0]]))
        assert len(page.all("polygon")) == 1

    def test_without_never_seen_instances_there_is_nothing_to_lie_over(self) -> None:
        known = [one for one in VERIFIED.distributions if one.group is Group.forgotten]
        assert not picture(distribution_plot("k", known)).all("polyline", "reference")


class TestQuantiles:
    def test_within_an_interval_it_is_evenly_filled(self) -> None:
        one = Distribution(Group.forgotten, True, (0.0, 1.0, 2.0, 4.0), (2, 0, 2))
        assert [quantile(one, share) for share in (0.25, 0.5, 0.75, 1.0)] == [0.5, 1.0, 3.0, 4.0]

    def test_an_empty_group_has_none(self) -> None:
        assert quantile(Distribution(Group.forgotten, True, (0.0, 1.0), (0,)), 0.5) is None


class TestForest:
    def test_every_outcome_has_its_shape_and_its_word(self) -> None:
        rows = [replace(LOSS, outcome=outcome) for outcome in Outcome]
        page = picture(forest_plot("k", rows))
        marks = [(one.tag, one.classes[1]) for one in page.elements if "mark" in one.classes]
        assert marks == [
            ("circle", "passed"), ("path", "failed"), ("polygon", "inconclusive"), ("rect", "informative"),
        ]  # fmt: skip
        said = [one.text for one in page.all("text", "strong")][1::2]
        assert said == ["passed", "failed", "inconclusive", "no verdict"]

    def test_an_interval_at_the_margin_ends_at_the_edge_of_the_band(self) -> None:
        page = picture(forest_plot("k", [replace(LOSS, difference=Interval(-0.5, 0.5), margin=0.5)]))
        (band,), whole = page.all("rect", "band"), page.all("line", "interval")[0]
        left = float(band.attributes["x"])
        assert float(whole.attributes["x1"]) == left
        assert float(whole.attributes["x2"]) == pytest.approx(left + float(band.attributes["width"]), abs=0.11)

    @pytest.mark.parametrize(("wish", "edge"), [(Wish.not_above, "left"), (Wish.not_below, "right")])
    def test_the_band_is_open_where_nothing_can_be_wrong(self, wish: Wish, edge: str) -> None:
        (band,) = picture(forest_plot("k", [replace(LOSS, wish=wish)])).all("rect", "band")
        start, width = float(band.attributes["x"]), float(band.attributes["width"])
        assert {"left": start, "right": start + width}[edge] == {"left": LEFT, "right": WIDTH - RIGHT}[edge]

    def test_what_goes_on_beyond_the_picture_has_an_arrow(self) -> None:
        far = replace(LOSS, difference=Interval(-1e4, 0.1), after=-4e3, outcome=Outcome.failed)
        page = picture(forest_plot("k", [far]))
        assert len(page.all("polygon", "arrow")) == 1
        xs = [float(one.attributes[name]) for one in page.all("line", "interval") for name in ("x1", "x2")]
        assert all(LEFT <= x <= WIDTH - RIGHT for x in xs)

    @pytest.mark.parametrize("change", [{"margin": None}, {"margin": 0.0}, {"difference": None}])
    def test_without_interval_or_margin_there_is_no_place(self, change: dict[str, None]) -> None:
        one: Measurement = replace(LOSS, **change)  # type: ignore[arg-type]
        assert in_margins(one) is None
        assert forest_plot("k", [one]) is None

    def test_a_metric_of_any_name_is_escaped_and_fits(self) -> None:
        page = picture(forest_plot("k", [replace(LOSS, metric="<b>" + "x" * 99)]))
        assert not page.all("b")
        assert len(page.all("text", "strong")[0].text) == 28
