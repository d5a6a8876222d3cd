"""Real data that lies beside the checkout; tests skip where it is missing, but fail where CI=true."""

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def real_file(name: str) -> Path:
    """A file of it."""
    path = DATA / name
    if not path.is_file():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"no {name} in ../shared/data")
    return path


def real(name: str, count: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a file, or so many of its first ones."""
    with real_file(name).open(encoding="utf-8") as lines:
        yield from map(json.loads, islice(lines, count))
