"""The images, built without Docker: the build stage of each Dockerfile is run in a directory of its own.

The interpreter is the one that runs the tests, and downloads come from pip's cache where they can.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PREFIX = "/opt/lethe"
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def build_stage(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of the first stage, without comments: (`RUN`, `pip install …`)."""
    text = dockerfile.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    instructions = [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]
    stages = [number for number, (word, _) in enumerate(instructions) if word == "FROM"]
    return instructions[stages[0] + 1 : stages[1]]


def build(dockerfile: Path, place: Path) -> Path:
    """Run a build stage; returns the Python of the environment it made."""
    source, environment = place / "source", os.environ | {"PIP_NO_COMPILE": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    source.mkdir()
    for word, rest in build_stage(dockerfile):
        rest = rest.replace(PREFIX, str(place / "lethe"))
        if word in ("ENV", "ARG"):
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest) if "CACHE" not in pair)
        elif word == "COPY":
            *names, target = rest.split()
            for name in names:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, source / (name if target == "./" else target))
        elif word == "RUN":
            subprocess.run(["sh", "-euc", rest], cwd=source, env=environment, check=True)
        else:
            assert word == "WORKDIR", word
    return place / "lethe" / "bin" / "python"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_runs_as_nobody_and_holds_no_tools_of_its_build(dockerfile: Path) -> None:
    text = dockerfile.read_text().replace("\\\n", " ")
    final = [line for line in text[text.rindex("FROM ") :].splitlines() if line and not line.startswith("#")]
    words = [line.split()[0] for line in final]
    assert "USER lethe" in final
    assert "--uid 10001" in text
    assert "RUN" not in words[words.index("USER") :], (
        "nothing is done as that user, so nothing in the image is its own"
    )
    assert words.count("USER") == 1
    assert [line for line in final if line.startswith("COPY")] == ["COPY --from=build /opt/lethe /opt/lethe"]
    assert "ADD " not in text, "it fetches and unpacks"
    assert not [line for line in text.splitlines() if line.startswith("ARG") and ("KEY" in line or "TOKEN" in line)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.name)
def test_what_an_image_installs_is_pinned_by_hash(dockerfile: Path) -> None:
    """But for torch, whose build depends on the machine, and which is pinned by its version."""
    text = dockerfile.read_text()
    for line in text.splitlines():
        if "pip install" in line:
            assert "--require-hashes" in line or line.endswith("--no-build-isolation .") or "torch==${TORCH" in line


def test_the_audit_fails_where_it_cannot_look() -> None:
    """Without --strict, pip-audit passes over what it does not find, and says that all is well."""
    makefile = (ROOT / "Makefile").read_text()
    assert "pip-audit --strict " in makefile
    ignored = set((ROOT / ".gitignore").read_text().split())
    assert {"build/", ".venv-audit/"} <= ignored
    for target in re.findall(r"-o (\S+\.cdx\.json)", makefile):
        assert target.startswith("build/")


@pytest.mark.slow
def test_the_service_image_serves_and_migrates_without_torch(tmp_path: Path) -> None:
    python = build(ROOT / "docker" / "service.Dockerfile", tmp_path)
    code = (
        "import importlib.util, service.api.app, service.control.__main__, service.store.migrate as migrate\n"
        f"migrate.upgrade('sqlite:///{tmp_path}/lethe.db')\n"
        "assert importlib.util.find_spec('torch') is None\n"
        "print(service.api.app.__file__)"
    )
    result = subprocess.run([python, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_relative_to(tmp_path / "lethe")


@pytest.mark.parametrize("name", ["worker.Dockerfile", "worker-cpu.Dockerfile"])
def test_worker_images_pin_the_torch_that_is_tested(name: str) -> None:
    dockerfile, makefile = (ROOT / "docker" / name).read_text(), (ROOT / "Makefile").read_text()
    version = next(line for line in makefile.splitlines() if line.startswith("TORCH_VERSION")).split()[-1]
    assert f"ARG TORCH_VERSION={version}\n" in dockerfile


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-service.lock", "requirements-dev.lock"])
def test_a_lock_pins_by_hash_and_holds_no_torch_build(lock: str) -> None:
    text = (ROOT / lock).read_text()
    names = [line.partition("==")[0] for line in text.splitlines() if "==" in line and line[0].isalnum()]
    assert len(names) > 50
    for requirement in text.split("\n")[2:]:
        if requirement and not requirement.startswith((" ", "#")):
            assert requirement.endswith("\\"), f"no hash: {requirement}"
    assert not [name for name in names if name.startswith(("torch", "nvidia-", "cuda-", "triton"))]
    assert "://" not in text
