from service.hotswap.vllm_plugin.absent import MOST, TTL_S, Absent


def test_a_name_stays_refused_for_a_while() -> None:
    absent = Absent()
    absent.add("bot@v1", 100)
    assert absent.holds("bot@v1", 100 + TTL_S - 1)
    assert not absent.holds("bot@v1", 100 + TTL_S)
    assert not absent.holds("bot@v2", 100)


def test_news_of_a_line_make_its_names_worth_asking_for() -> None:
    absent = Absent()
    absent.add("bot@v1", 0)
    absent.add("bot-2@v1", 0)
    absent.forget_line("bot")
    assert not absent.holds("bot@v1", 0)
    assert absent.holds("bot-2@v1", 0)


def test_names_without_number_do_not_fill_the_memory() -> None:
    absent = Absent()
    for number in range(MOST + 1):
        absent.add(f"bot@v{number}", 0)
    assert not absent.holds("bot@v0", 0)
    assert absent.holds(f"bot@v{MOST}", 0)
