"""How likely a student finds a text, against transformers by hand."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.student import likelihood, load
from pipeline.student.likelihood import Item, mean_logprobs, remembered
from pipeline.student.text import IGNORED, Encoded, encode
from tests import tiny_student


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    weights = load.find(str(tiny_student.make(tmp_path_factory.mktemp("student"))), Path())
    import torch

    return load.load_model(weights, torch.float32), load.load_tokenizer(weights)


def items(tokenizer: Any, count: int = 9) -> list[Item]:
    return [(row.id, [encode(tokenizer, row)]) for row in tiny_student.sums(count)]


def numbers(student: tuple[Any, Any], asked: list[Item]) -> list[float]:
    model, tokenizer = student
    return [number for part in mean_logprobs(model, tokenizer.pad_token_id, asked) for number in part]


def by_hand(model: Any, texts: list[Encoded]) -> float:
    """Transformers' own mean loss of each text by itself, weighed by its tokens."""
    import torch

    total, written = 0.0, 0
    for text in texts:
        ids, labels = torch.tensor([text.input_ids]), torch.tensor([text.labels])
        count = sum(label != IGNORED for label in text.labels)
        with torch.inference_mode():
            total -= float(model(input_ids=ids, labels=labels).loss) * count
        written += count
    return total / written


def test_the_mean_logprob_is_what_transformers_gives_for_each_text_by_itself(student: tuple[Any, Any]) -> None:
    model, tokenizer = student
    asked = items(tokenizer)
    assert numbers(student, asked) == pytest.approx([by_hand(model, list(texts)) for _, texts in asked], abs=6e-4)
    assert len(set(numbers(student, asked))) > 5


def test_an_item_of_two_texts_is_the_mean_over_all_its_tokens(student: tuple[Any, Any]) -> None:
    model, tokenizer = student
    short, long = (encode(tokenizer, row) for row in tiny_student.sums(4)[0:4:3])
    assert numbers(student, [("both", [short, long])]) == pytest.approx([by_hand(model, [short, long])], abs=6e-4)


@pytest.mark.parametrize(("tokens", "together"), [(1, 128), (7, 128), (200, 2), (100_000, 3)])
def test_neither_batches_nor_pieces_change_a_number(
    student: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, tokens: int, together: int
) -> None:
    expected = numbers(student, items(student[1]))
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", tokens)
    monkeypatch.setattr(likelihood, "TOGETHER", together)
    assert numbers(student, items(student[1])) == pytest.approx(expected, abs=1.1e-3)


def test_a_killed_run_goes_on_behind_what_it_wrote_to_the_same_file(
    student: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = student
    monkeypatch.setattr(likelihood, "TOGETHER", 4)
    asked, path, first = items(tokenizer, 10), tmp_path / "likelihood.jsonl", Watched(model)
    whole = list(remembered(path, first, tokenizer.pad_token_id, asked))
    content = path.read_bytes()
    assert [json.loads(line) for line in content.splitlines()] == [
        {"id": name, "logprob": number} for (name, _), number in zip(asked, whole, strict=True)
    ]
    for cut in (0, 10, len(content) // 2, len(content) - 5, len(content)):
        path.write_bytes(content[:cut])
        again = Watched(model)
        assert list(remembered(path, again, tokenizer.pad_token_id, asked)) == whole
        assert path.read_bytes() == content
        assert again.batches == first.batches[content[:cut].count(b"\n") // 4 :]


class Watched:
    """A model that remembers what it read."""

    def __init__(self, model: Any) -> None:
        self.model, self.config, self.device = model, model.config, model.device
        self.batches: list[list[list[int]]] = []

    def __call__(self, **inputs: Any) -> Any:
        self.batches.append(inputs["input_ids"].tolist())
        return self.model(**inputs)


def test_items_are_taken_as_they_are_needed(student: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = student
    monkeypatch.setattr(likelihood, "TOGETHER", 2)
    taken: list[str] = []

    def asked() -> Iterator[Item]:
        for item in items(tokenizer, 6):
            taken.append(item[0])
            yield item

    next(mean_logprobs(model, tokenizer.pad_token_id, asked()))
    assert taken == ["sum-0", "sum-1"]
