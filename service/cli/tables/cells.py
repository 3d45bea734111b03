"""How tables look, and the cells that have colours."""

from rich.table import Table
from rich.text import Text

COLOURS = {
    "succeeded": "green",
    "ready": "green",
    "delivered": "green",
    "running": "cyan",
    "preparing": "cyan",
    "pending": "cyan",
    "awaiting_rebuild": "cyan",
    "failed": "red",
    "rejected": "red",
    "needs_attention": "red",
    "withdrawn": "dim",
    "quarantined": "dim",
}
# Ids are there to be copied.
_IDS = frozenset({"dataset", "request", "run", "endpoint", "delivery", "key"})


def table_of(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in _IDS)
    return table


def state_of(state: str, more: str = "", *, warning: str = "") -> Text:
    """A state in its colour, and what else there is to say of it."""
    parts = [Text(state, style=COLOURS.get(state, "")), Text(more), Text(warning, style="yellow")]
    return Text(" ").join(part for part in parts if part)
