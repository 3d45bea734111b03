"""The report as one HTML page that needs nothing else: no script, no font, no request to anywhere."""

from collections.abc import Mapping

from fastapi.responses import HTMLResponse

from service.api.html import environment
from service.api.report import words
from service.api.report.account import Account
from service.api.report.forest_plot import estimate
from service.api.report.quantiles import quantile
from service.api.report.timeline import clock_words, timeline
from service.api.views.requests import PATH
from service.domain.measurements import Outcome
from service.domain.runs import RunKind

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}


def respond(account: Account, *, below: str = PATH) -> HTMLResponse:
    """`below`: the path under which the reader finds requests and their documents."""
    return HTMLResponse(render(account, below=below), headers=dict(HEADERS))


def render(account: Account, *, below: str = PATH) -> str:
    """The page. Whatever is put into it is escaped."""
    return _PAGE.render(
        account=account,
        request=account.request,
        clock=clock_words(account),
        timeline=timeline(account),
        documents=f"{below}/{account.request.id}",
    )


_ENVIRONMENT = environment(
    {
        "number": words.number,
        "short": words.short,
        "percent": words.percent,
        "moment": words.moment,
        "duration": words.duration,
        "metric": words.metric_name,
        "spread": words.distribution_name,
        "estimate": estimate,
        "quantile": quantile,
        "run_words": lambda kind: words.RUN_WORDS[RunKind(kind)],
    },
    words=words,
    outcomes=Outcome,
)
_PAGE = _ENVIRONMENT.get_template("report/page.html")
