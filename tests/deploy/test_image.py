"""What the image is made of, as far as it shows without a container engine."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tests.deploy.composition import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD, FINAL = re.split(r"(?m)^FROM .*$", DOCKERFILE)[1:]


def test_the_final_stage_has_no_tools_and_no_root() -> None:
    """It takes over the finished environment and nothing else, and runs as a numbered user."""
    assert re.findall(r"(?m)^COPY .*$", FINAL) == ["COPY --from=build /opt/tillstream /opt/tillstream"]
    assert re.search(r"(?m)^USER [1-9]\d*:[1-9]\d*$", FINAL)
    assert "uninstall --yes pip setuptools wheel" in FINAL
    assert not re.search(r"uv |pip install|apt-get", FINAL)


def test_it_is_built_from_the_lock() -> None:
    """No package comes in that the lock does not name, and uv is the version that wrote it."""
    syncs = re.findall(r"uv sync ([^\n]*)", BUILD)
    assert len(syncs) == 2
    assert all("--frozen --no-dev" in options for options in syncs)
    bootstrap = (ROOT / "deploy/local/bootstrap.sh").read_text()
    (version,) = re.findall(r"(?m)^UV_VERSION=(\S+)$", bootstrap)
    assert f"uv=={version}" in BUILD


def test_everything_that_is_installed_is_in_the_context() -> None:
    """What the package is made of is copied, and let through by .dockerignore; secrets and tests are not."""
    copied = {
        word for line in re.findall(r"(?m)^COPY (.*)$", BUILD) for word in line.split()[:-1] if not word.startswith("-")
    }
    packages = set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    needed = packages | {"pyproject.toml", "uv.lock", PROJECT["project"]["readme"], "LICENSE"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert copied == needed == {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored


def test_it_states_the_version_of_the_package() -> None:
    """The label agrees with pyproject.toml."""
    (stated,) = re.findall(r"(?m)^ARG VERSION=(\S+)$", FINAL)
    assert stated == PROJECT["project"]["version"]
