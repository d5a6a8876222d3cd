"""The data set as a Parquet file that `datasets.load_dataset` opens."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.rows import Dropped, Example

AT_ONCE = 1000
"""Examples that are held in memory and written as one row group."""


def with_dataset(rows: Iterable[Example | Dropped], folder: Path) -> Iterator[Example | Dropped]:
    """Pass rows on, and write the examples to `train.parquet`, so that `datasets.load_dataset(folder)` opens it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("prompt", pa.list_(turn)),
            ("completion", pa.list_(turn)),
            ("task", pa.string()),
            ("weight", pa.float64()),
            ("problem_id", pa.string()),
            ("answer", pa.string()),
            ("label", pa.string()),
            ("source", pa.string()),
            ("licence", pa.string()),
            ("teacher", pa.string()),
            ("terms", pa.string()),
            ("keys", pa.list_(pa.string())),
        ]
    )
    folder.mkdir(exist_ok=True)
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        held: list[Example] = []
        for row in rows:
            if isinstance(row, Example):
                held.append(row)
            if len(held) == AT_ONCE:
                writer.write_table(pa.Table.from_pylist([_record(example) for example in held], schema=schema))
                held.clear()
            yield row
        writer.write_table(pa.Table.from_pylist([_record(example) for example in held], schema=schema))


def _record(example: Example) -> dict[str, object]:
    completion = [{"role": "assistant", "content": example.completion}]
    return {**example.model_dump(mode="json", exclude={"parent"}), "completion": completion}
