"""What has to change so that a registered model shows a line, and what is left alone."""

from service.control.mlflow.difference import Line, Model, Shown, difference

LINE = Line(
    tags={"lethe.adapter": "bot"},
    versions={name: Shown(f"hf://bot/{name}", {"lethe.version": name}) for name in ("v2", "v3")},
    aliases={"production": "v3"},
)
IN_STEP = Model(
    tags={"lethe.adapter": "bot", "team": "support"},
    versions={2: {"lethe.version": "v2"}, 3: {"lethe.version": "v3", "reviewed": "yes"}},
    aliases={"production": 3},
)


def changed(**present: object) -> Model:
    return Model(**{name: getattr(IN_STEP, name) for name in ("tags", "versions", "aliases")} | present)  # type: ignore[arg-type]


def test_nothing_if_it_is_in_step_whatever_tags_others_added() -> None:
    assert not difference(LINE, IN_STEP)


def test_everything_of_an_empty_model() -> None:
    changes = difference(LINE, Model({}, {}, {}))

    assert (changes.create, changes.point, changes.tag) == (["v2", "v3"], {"production": "v3"}, LINE.tags)
    assert not changes.delete


def test_versions_are_known_by_their_tag_not_by_their_number() -> None:
    changes = difference(LINE, changed(versions={7: {"lethe.version": "v2"}, 9: {"lethe.version": "v3"}}))

    assert changes.numbers == {"v2": 7, "v3": 9}
    assert (changes.create, changes.delete, changes.point) == ([], [], {"production": "v3"})


def test_what_is_not_in_service_is_deleted() -> None:
    changes = difference(LINE, changed(versions={1: {"lethe.version": "v1"}, **IN_STEP.versions}))

    assert changes.delete == [1]


def test_of_two_that_show_the_same_the_first_stays() -> None:
    changes = difference(LINE, changed(versions={**IN_STEP.versions, 4: {"lethe.version": "v3"}}))

    assert (changes.delete, changes.create) == ([4], [])


def test_versions_of_others_are_left_alone() -> None:
    assert not difference(LINE, changed(versions={**IN_STEP.versions, 4: {"by": "hand"}}))


def test_aliases_are_the_lines_and_no_others() -> None:
    changes = difference(LINE, changed(aliases={"production": 2, "champion": 2}))

    assert (changes.drop, changes.point) == (["champion"], {"production": "v3"})


def test_aliases_that_mlflow_keeps_for_itself_are_not_shown() -> None:
    line = Line(LINE.tags, LINE.versions, {"production": "v3", "latest": "v3", "v0": "v2"})

    assert not difference(line, IN_STEP)


def test_tags_that_differ_are_written() -> None:
    versions = {2: {"lethe.version": "v2"}, 3: {"lethe.version": "v3", "lethe.claim_level": "M"}}
    line = Line(
        {"lethe.adapter": "bot", "lethe.erasure_epoch": "2"},
        {**LINE.versions, "v3": Shown("hf://bot/v3", {"lethe.version": "v3", "lethe.claim_level": "E"})},
        LINE.aliases,
    )
    changes = difference(line, changed(versions=versions))

    assert changes.tag == {"lethe.erasure_epoch": "2"}
    assert changes.retag == {3: {"lethe.claim_level": "E"}}
