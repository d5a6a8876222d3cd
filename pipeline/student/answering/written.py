"""What a model has written so far, in a file that a killed evaluation goes on from; texts are read one at a time."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipeline.student.answering.generate import Generated

MISSING = -1


@dataclass(frozen=True)
class Took:
    """What a batch of texts took."""

    seconds: float
    batch_size: int | None = None
    """Most texts side by side; None where nobody knows."""
    peak_bytes: int | None = None
    """Most memory while it was written; None where nobody measured it."""


class Written:
    """Texts by their numbers, written batch by batch and read in order.

    A batch stands in the file as its texts and what it took; one without the latter was torn by a kill, and is
    written again.

    Args:
        path: the file; what is not whole in it is cut off.
        count: how many texts there will be.
        by: what writes them (`transformers, cpu, float32`); texts that something else has written are cut off, so that
            all are of one hand.
    """

    def __init__(self, path: Path, count: int, by: str) -> None:
        self._path, self.by = path, by
        self._places = array("q", [MISSING]) * count
        self._took: list[Took] = []
        self._tokens = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.truncate(self._read())

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._places[number] != MISSING

    def __len__(self) -> int:
        return len(self._places) - self._places.count(MISSING)

    def __iter__(self) -> Iterator[Generated]:
        with self._path.open("rb") as file:
            for place in self._places:
                file.seek(place)
                text = json.loads(file.readline())
                yield Generated(text["text"], text["tokens"], text["cut"])

    @property
    def is_whole(self) -> bool:
        """Whether no text is missing."""
        return MISSING not in self._places

    def add(self, texts: Sequence[tuple[int, Generated]], took: Took) -> None:
        """Append a batch of (number, text)."""
        lines = [{"number": number, **asdict(text)} for number, text in texts]
        coded = [json.dumps(line).encode() + b"\n" for line in [*lines, {"by": self.by, "took": asdict(took)}]]
        with self._path.open("ab") as file:
            places = accumulate(map(len, coded), initial=file.tell())
            file.writelines(coded)
        self._take(zip(lines, places, strict=False), took)

    def timing(self) -> dict[str, Any]:
        """What all batches took together, those of earlier starts included."""
        seconds = sum(took.seconds for took in self._took)
        peaks = [took.peak_bytes for took in self._took if took.peak_bytes is not None]
        sizes = [took.batch_size for took in self._took if took.batch_size is not None]
        return {
            "by": self.by,
            "seconds": round(seconds, 3),
            "tokens_per_second": round(self._tokens / seconds, 1) if self._tokens and seconds else None,
            "peak_memory_bytes": max(peaks, default=None),
            "batch_size": sizes[-1] if sizes else None,
        }

    def _take(self, texts: Iterable[tuple[dict[str, Any], int]], took: Took) -> None:
        for text, place in texts:
            self._places[text["number"]] = place
            self._tokens += text["tokens"] or 0
        self._took.append(took)

    def _read(self) -> int:
        """Take in the whole batches of an earlier start; gives where they end."""
        end, place = 0, 0
        texts: list[tuple[dict[str, Any], int]] = []
        with self._path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is None:
                    break
                if "took" in entry:
                    if entry["by"] != self.by:
                        break
                    self._take(texts, Took(**entry["took"]))
                    texts, end = [], place + len(line)
                else:
                    texts.append((entry, place))
                place += len(line)
        return end


def _entry(line: bytes) -> dict[str, Any] | None:
    """A whole line's content; None for one that was torn."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return entry if line.endswith(b"\n") else None
