"""Sketches: near texts are told from far ones, and only with the key."""

import numpy as np

from service.evidence import minhash

KEY = bytes(32)
WORDS = [f"word{number}" for number in range(120)]


def sketches(*texts: list[str]) -> minhash.Sketches:
    return minhash.stacked([minhash.sketch(" ".join(words), KEY) for words in texts])


def similarity(one: list[str], other: list[str]) -> float:
    rows = sketches(one, other)
    return float(minhash.similarity(rows[0], rows[1]))


def test_equal_texts_have_equal_sketches_of_a_fixed_size() -> None:
    assert minhash.sketch("a b c d", KEY) == minhash.sketch("a b c d", KEY)
    assert {len(minhash.sketch(text, KEY)) for text in ("", "a", " ".join(WORDS))} == {minhash.BYTES}


def test_the_share_of_equal_slots_estimates_the_share_of_common_runs() -> None:
    """Half of two texts of 118 runs: 58 common of 178."""
    estimates = [similarity(WORDS, WORDS[:60] + [f"{n}-{m}" for m in range(60)]) for n in range(30)]
    assert abs(np.mean(estimates) - 58 / 178) < 0.03
    assert max(abs(estimate - 58 / 178) for estimate in estimates) < 0.25


def test_one_word_more_is_near_and_another_text_is_far() -> None:
    assert similarity(WORDS, [*WORDS, "more"]) > 0.9
    assert similarity(WORDS, WORDS[::-1]) < 0.1


def test_another_key_makes_another_sketch() -> None:
    assert minhash.sketch("a b c d", KEY) != minhash.sketch("a b c d", bytes([1]) * 32)


def test_the_nearest_of_many_is_found_without_comparing_all() -> None:
    texts = [[f"{text}-{word}" for word in range(80)] for text in range(300)]
    changed = [[*text[:-4], "and", "something", "else", "entirely"] for text in texts[::3]]
    alike, which = minhash.nearest(sketches(*changed), sketches(*texts))
    assert list(which) == list(range(0, 300, 3))
    assert min(alike) > 0.7
    strangers, _ = minhash.nearest(sketches(*texts[1::3]), sketches(*texts[::3]))
    assert max(strangers) < 0.2
