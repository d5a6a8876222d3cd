"""The tokens of a training, in an Arrow file that every process maps into its memory."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.student.text import Encoded

if TYPE_CHECKING:
    from datasets import Dataset

AT_ONCE = 1000
"""Rows held in memory and written as one record batch."""


def write_tokens(path: Path, rows: Iterable[tuple[Encoded, float]]) -> None:
    """Write the tokens and the weight of each example; what an earlier start left is replaced."""
    import pyarrow as pa

    schema = pa.schema(
        [("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32())), ("weight", pa.float64())]
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    left = iter(rows)
    with pa.ipc.new_stream(path, schema) as file:
        while some := list(islice(left, AT_ONCE)):
            columns = {
                "input_ids": [encoded.input_ids for encoded, _ in some],
                "labels": [encoded.labels for encoded, _ in some],
                "weight": [weight for _, weight in some],
            }
            file.write_batch(pa.RecordBatch.from_pydict(columns, schema))


def lengths_of(rows: "Dataset") -> list[int]:
    """Tokens of each row."""
    import pyarrow.compute as pc

    found: list[int] = pc.list_value_length(rows.data.column("input_ids")).to_pylist()
    return found


def read_tokens(path: Path) -> "Dataset":
    """Columns input_ids and labels (lists of int32) and weight (float64)."""
    from datasets import Dataset

    return Dataset.from_file(str(path))
