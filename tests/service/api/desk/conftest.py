import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.api import Api
from tests.support.desk_world import World, furnish


@dataclass(frozen=True)
class Furnished:
    api: Api
    world: World


@pytest.fixture(scope="module")
def furnished(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Furnished]:
    """A deployment with something of everything, for all of a module's tests that only read."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(migrated_sqlite, home / "lethe.db")
    api = Api(home, f"sqlite:///{home}/lethe.db")
    yield Furnished(api, furnish(api))
    api.store.close()
