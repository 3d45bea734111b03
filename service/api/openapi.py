"""The OpenAPI 3.1 document: `python -m service.api.openapi` prints it, `--check FILE` compares."""

import argparse
import json
import sys
from pathlib import Path

from service.api.app import bare_app


def render() -> str:
    """The document as it is committed."""
    return json.dumps(bare_app().openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m service.api.openapi", description=__doc__)
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail unless FILE holds the document")
    checked = parser.parse_args().check
    if checked is None:
        sys.stdout.write(render())
        return 0
    if checked.is_file() and checked.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write(f"{checked} is not the document of the present code: run make openapi\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
