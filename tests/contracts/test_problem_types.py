"""Every kind of refusal is documented, and nothing is documented that cannot happen."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api import errors as api_errors
from service.api import problems
from service.api.problem_types import problem_types
from service.client import problems as client_problems
from service.domain import errors
from service.domain.errors import LetheError
from tests.support.document import document

SERVICE = Path(__file__).parents[2] / "service"
KINDS = {
    name: kind
    for module in (errors, api_errors, client_problems)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, LetheError)
}
# They tell another error in the words of a foreign protocol, with its code and their own status.
TRANSLATORS = {"OpenDsrRefused", "HubNotFound"}
# Checks that commands and the client make for themselves, and what the desk shows as a page: no problem documents.
OFFLINE = re.compile(
    r"service/(client|cli|api/desk|evidence/(audit|model_|verification|keys|key_set|dsse|master_key))"
)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SERVICE.rglob("*.py")):
        # The plugin stands alone, with errors of its own.
        if "vllm_plugin" not in path.parts:
            yield f"service/{path.relative_to(SERVICE).as_posix()}", ast.parse(path.read_text())


def raised() -> Iterator[tuple[str, int | None, str]]:
    """Code, status where the place says it, and place of everything that is raised."""
    for place, module in sources():
        signatures = {node.name: parameters(node) for node in ast.walk(module) if hasattr(node, "name")}
        for node in ast.walk(module):
            if isinstance(node, ast.Call):
                yield from ((code, status, place) for code, status in of_call(node, signatures))
            elif isinstance(node, ast.FunctionDef):
                defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                named = [default for argument, default in defaults if argument.arg == "code" and default is not None]
                yield from ((code, None, place) for default in named for code in kebabs(default))
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "_REFUSALS":
                yield from ((code, None, place) for value in [node.value] if value for code in kebabs(value))
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("CODE", "_TITLES", "default_code"):
                yield from ((code, None, place) for code in kebabs(node.value))
            elif isinstance(node, ast.Dict):
                # Files that an archive must hold, with the codes of their absence.
                pairs = zip(node.keys, node.values, strict=True)
                files = [value for key, value in pairs if isinstance(key, ast.Name) and key.id.endswith("_FILE")]
                yield from ((code, None, place) for value in files for code in kebabs(value))


def of_call(call: ast.Call, signatures: dict[str, list[str]]) -> Iterator[tuple[str, int | None]]:
    name = ast.unparse(call.func).rpartition(".")[2]
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    kind = KINDS.get(name)
    if kind is not None and "code" not in given and name not in TRANSLATORS:
        yield kind.default_code, kind.status
    if kind is None:
        given |= dict(zip(signatures.get(name, []), call.args, strict=False))
    code = given.get("code")
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        yield code.value, None if kind is None else kind.status


def parameters(node: ast.AST) -> list[str]:
    """Names of a function's parameters, or of a dataclass's fields."""
    if isinstance(node, ast.FunctionDef):
        return [argument.arg for argument in node.args.args]
    if isinstance(node, ast.ClassDef):
        return [ast.unparse(field.target) for field in node.body if isinstance(field, ast.AnnAssign)]
    return []


def kebabs(node: ast.AST) -> list[str]:
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return [text for text in texts if re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", text)]


RAISED = sorted(set(raised()), key=str)


def test_every_code_in_the_source_is_documented() -> None:
    assert {(code, place) for code, _, place in RAISED if code not in problem_types()} == set()


def test_every_documented_code_is_in_the_source() -> None:
    bases = {kind.default_code for kind in KINDS.values()}
    assert problem_types().keys() - {code for code, _, _ in RAISED} <= bases
    assert bases <= problem_types().keys()


@pytest.mark.parametrize(("code", "status", "place"), [row for row in RAISED if row[1] is not None])
def test_with_the_status_that_it_has(code: str, status: int, place: str) -> None:
    if not OFFLINE.match(place) and place != "service/api/errors.py":
        assert problem_types()[code].status == status, place


def test_statuses_are_among_those_that_routes_name() -> None:
    assert {kind.status for kind in problem_types().values()} - {None, 405} <= problems.MEANINGS.keys()


def test_the_page_is_sorted_and_each_code_stands_once() -> None:
    page = (SERVICE / "api" / "PROBLEMS.md").read_text()
    for section in page.split("\n## ")[1:]:
        rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\d*)", section, re.MULTILINE)
        assert rows == sorted(rows, key=lambda row: (row[1], row[0]))
    listed = re.findall(r"^\| `([a-z0-9-]+)`", page, re.MULTILINE)
    assert len(listed) == len(set(listed)) == len(problem_types())


def test_the_contract_holds_what_is_sent() -> None:
    documented = document()["components"]["schemas"]["Problem"]["x-problem-types"]
    sent = {code: kind for code, kind in problem_types().items() if kind.status is not None}
    assert documented.keys() == sent.keys()
    assert documented["undoes-erasure"]["status"] == 409
    assert json.dumps(documented)
