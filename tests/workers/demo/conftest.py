"""A tiny base model for the demonstration's processes."""

from pathlib import Path

import pytest

from tests.workers.tiny_llama import save_tiny_llama


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))
