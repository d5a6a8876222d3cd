"""The tokens of a training, in an Arrow file that every process maps into its memory."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.student.text import IGNORED, Encoded

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
        while some := list(itertools.islice(left, AT_ONCE)):
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


def trained_of(rows: "Dataset") -> list[int]:
    """Tokens of each row that carry loss."""
    import numpy as np

    found: list[int] = []
    for labels in rows.data.column("labels").chunks:
        carry = np.asarray(labels.values) != IGNORED
        found += [int(carry[start:stop].sum()) for start, stop in itertools.pairwise(labels.offsets.to_numpy())]
    return found


def read_tokens(path: Path) -> "Dataset":
    """Columns input_ids and labels (lists of int32) and weight (float64)."""
    from datasets import Dataset

    return Dataset.from_file(str(path))
