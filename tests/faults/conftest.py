from pathlib import Path

import pytest

from tests.workers.tiny_llama import save_tiny_llama


@pytest.fixture(scope="session")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama, small enough to train in seconds."""
    return save_tiny_llama(tmp_path_factory.mktemp("llama"))
