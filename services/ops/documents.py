"""Reading the files an operator names: JSON or YAML, with faults in plain words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from libs.runtime import exact_json
from services.ops.speaking import USAGE, Failure

Model = TypeVar("Model", bound=BaseModel)


def _bytes(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror or error}", USAGE) from None


def read_json(path: Path) -> Any:
    """The JSON in a file (`-`: standard input), with exact numbers."""
    try:
        return exact_json.decode(_bytes(path))
    except RecursionError:
        raise Failure(f"{path}: nested too deeply to be read", USAGE) from None
    except (exact_json.DecodeError, ValueError) as error:
        raise Failure(f"{path} is no JSON: {error}", USAGE) from None


def read_settings_file(path: Path, model: type[Model]) -> Model:
    """A connection's settings from a YAML or JSON file."""
    try:
        stated = yaml.safe_load(_bytes(path))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise Failure(f"{path} is not readable as YAML or JSON{where}", USAGE) from None
    return as_settings(stated if stated is not None else {}, model, str(path))


def as_settings(stated: Any, model: type[Model], where: str) -> Model:
    """The settings as their connector reads them; every fault on a line of its own."""
    try:
        return model.model_validate(stated)
    except ValidationError as error:
        faults = [
            f"{where}: {'.'.join(str(part) for part in fault['loc'])} {fault['msg']}".strip()
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise Failure("\n".join(faults), USAGE) from None
