"""The canonical ledger: a set of final edits, whatever order they arrived in."""

from hypothesis import given
from hypothesis import strategies as st

from service.domain.instances import Content
from service.domain.ledger import Edit, apply, canonical, digest

contents = st.builds(lambda text: Content(prompt="q", completion=text), st.text(min_size=1, max_size=5))
edits = st.builds(Edit, st.sampled_from("abcdef"), st.none() | contents)


@given(
    st.lists(edits, unique_by=lambda edit: edit.instance_id).flatmap(
        lambda es: st.tuples(st.just(es), st.permutations(es))
    )
)
def test_order_does_not_matter(pair: tuple[list[Edit], list[Edit]]) -> None:
    one, other = pair
    assert canonical(one) == canonical(other)
    assert digest(one) == digest(other)


@given(st.lists(edits))
def test_the_last_edit_of_an_instance_wins(history: list[Edit]) -> None:
    union = canonical(history)
    assert [edit.instance_id for edit in union] == sorted({edit.instance_id for edit in history})
    for edit in union:
        assert edit == [e for e in history if e.instance_id == edit.instance_id][-1]


def test_different_ledgers_have_different_digests() -> None:
    one = Content(prompt="q", completion="a")
    other = Content(prompt="q", completion="b")
    digests = {digest(e) for e in ([], [Edit("x", None)], [Edit("y", None)], [Edit("x", one)], [Edit("x", other)])}
    assert len(digests) == 5


def test_applying_removes_replaces_and_keeps_the_order() -> None:
    before = {name: Content(prompt=name, completion=name) for name in "abc"}
    new = Content(prompt="a", completion="new")
    assert apply(before, [Edit("b", None), Edit("a", new)]) == {"a": new, "c": before["c"]}
