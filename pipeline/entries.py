"""Entries of a source as they stand in it, each with its place, before anything is made of them."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pipeline import generated
from pipeline.choices import Source
from pipeline.errors import UsageError

HUB = "hf:"
Entry = tuple[str, dict[str, Any]]
"""Its place as a person finds it (`problems.jsonl:3`), and its fields."""


def entries(source: Source, base: Path) -> Iterator[Entry]:
    """The entries of a source, in its order; nothing is read before it is asked for.

    Raises:
        UsageError: there is no such source, or it cannot be read.
    """
    if source.path.startswith(generated.PREFIX):
        return ((f"{source.path}: item {i}", entry) for i, entry in enumerate(generated.entries(source.path), 1))
    if source.path.startswith(HUB):
        return _from_hub(source)
    path = _file(source, base)
    return READERS[path.suffix](path, source.path)


def stem(source: Source) -> str:
    """Short name of a source, for ids: a file's name without folder and extension, a data set's own name."""
    if source.path.startswith(generated.PREFIX):
        return generated.Address.of(source.path).name
    if source.path.startswith(HUB):
        return source.path.split(":")[1].rpartition("/")[2]
    return Path(source.path).stem


def outside(source: Source, base: Path) -> dict[str, str]:
    """What the problems of a source depend on, for the record: content hash, package version or revision."""
    if source.path.startswith(generated.PREFIX):
        return {"reasoning-gym": generated.package_version()}
    if source.path.startswith(HUB):
        return {source.path: _revision(source.path.split(":")[1])}
    with _file(source, base).open("rb") as file:
        return {source.path: f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"}


def _file(source: Source, base: Path) -> Path:
    path = base / source.path
    if path.suffix not in READERS:
        raise UsageError(
            f"{source.path}: unknown kind of source",
            f"a file that ends in {', '.join(READERS)}, or {generated.PREFIX}NAME, or {HUB}OWNER/NAME:CONFIG:SPLIT",
        )
    if not path.is_file():
        raise UsageError(
            f"no file {source.path}", f"looked for {path.resolve()}; paths are relative to the config file"
        )
    return path


def _from_jsonl(path: Path, name: str) -> Iterator[Entry]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{name}:{number}", _object(_json(line.rstrip(), name, number), f"{name}:{number}")


def _from_json(path: Path, name: str) -> Iterator[Entry]:
    items = _json(path.read_bytes(), name, 1)
    if not isinstance(items, list):
        raise UsageError(f"{name}: expected a list of objects, found {_kind(items)}")
    for number, item in enumerate(items, 1):
        yield f"{name}: item {number}", _object(item, f"{name}: item {number}")


def _from_csv(path: Path, name: str) -> Iterator[Entry]:
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                place = f"{name}:{reader.line_num}"
                if None in row or None in row.values():
                    raise UsageError(
                        f"{place}: {'more' if None in row else 'fewer'} cells than the header, which has "
                        f"{len(reader.fieldnames or ())}",
                        "put quotes around a cell with a comma or a line break in it",
                    )
                yield place, dict(row)
        except csv.Error as error:
            raise UsageError(f"{name}:{reader.reader.line_num}: not CSV: {error}") from None
        except UnicodeDecodeError:
            _text(path.read_bytes(), name, 1)
            raise


def _from_parquet(path: Path, name: str) -> Iterator[Entry]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield f"{name}: row {number}", row
    except pyarrow.ArrowException as error:
        raise UsageError(f"{name}: not a Parquet file: {error}") from None


READERS: dict[str, Callable[[Path, str], Iterator[Entry]]] = {
    ".jsonl": _from_jsonl,
    ".json": _from_json,
    ".csv": _from_csv,
    ".parquet": _from_parquet,
}


def _from_hub(source: Source) -> Iterator[Entry]:
    name, config, split = [*source.path.removeprefix(HUB).split(":", 2), None, None][:3]
    from datasets import load_dataset

    try:
        rows = load_dataset(name, config or None, split=source.split or split or "train")
    except Exception as error:  # what its many layers raise has no common parent
        raise UsageError(
            f"{source.path} cannot be loaded: {type(error).__name__}: {str(error).splitlines()[0][:300]}",
            "write hf:OWNER/NAME:CONFIG:SPLIT; a data set behind a login needs HF_TOKEN",
        ) from None
    for number, row in enumerate(rows, 1):
        yield f"{source.path}: row {number}", dict(row)


def _revision(name: str) -> str:
    """Commit of a data set on the hub; the one that was downloaded where the hub cannot be asked."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(HfApi().dataset_info(name, timeout=10).sha)
    except (HfHubHTTPError, OSError):
        kept = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}" / "refs" / "main"
        return kept.read_text().strip() if kept.is_file() else "unknown"


def _json(data: bytes, name: str, first_line: int) -> Any:
    try:
        return json.loads(_text(data, name, first_line))
    except json.JSONDecodeError as error:
        whole = name.endswith(".json")
        raise UsageError(
            f"{name}:{first_line + error.lineno - 1}: not JSON: {error.msg} at column {error.colno}",
            "one list of objects; a file with one object a line ends in .jsonl" if whole else "one JSON object a line",
        ) from None


def _text(data: bytes, name: str, first_line: int) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        raise UsageError(f"{name}:{line}: not UTF-8: {error.reason}", "save the file as UTF-8") from None


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{place}: expected an object, found {_kind(value)}", '{"question": "...", "answer": "..."}')
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
