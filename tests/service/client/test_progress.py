"""The bar, where there is a terminal; a line a stage, where there is none."""

from io import StringIO

from rich.console import Console

from service.client import progress_bar


def test_a_line_a_stage() -> None:
    out = StringIO()
    with progress_bar("req_[1]", console=Console(file=out, force_terminal=False)) as show:
        show("solving", 0.1)
        show("solving", 0.9)
        show("verifying", 0.0)
    assert out.getvalue() == "req_[1]: solving\nreq_[1]: verifying\n"


def test_a_bar_on_a_terminal() -> None:
    out = StringIO()
    with progress_bar("req_1", console=Console(file=out, force_terminal=True, width=80)) as show:
        show("solving", 0.5)
    assert "req_1" in out.getvalue()
    assert "req_1: solving" not in out.getvalue()
