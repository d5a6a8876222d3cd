"""Writers of many texts, and the file that a killed one goes on from."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StageError
from pipeline.progress import Silent
from pipeline.student import load
from pipeline.student.answering.generate import Generated, Limits
from pipeline.student.answering.sampling import Sampling
from pipeline.student.answering.writer import TransformersWriter, VllmWriter, backend_of
from pipeline.student.answering.written import Took, Written
from pipeline.student.text import encode_prompt
from tests import tiny_student

TEXTS = [Generated(f"text {number}\nü", number, number == 2) for number in range(5)]
BATCHES = [[(3, TEXTS[3]), (1, TEXTS[1])], [(0, TEXTS[0])], [(4, TEXTS[4]), (2, TEXTS[2])]]
UNLIKE = [[number, 9] for number in range(3, 7)]
"""Prompts that share no beginning."""


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.counts: list[int] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def advance(self, count: int = 1) -> None:
        self.counts.append(count)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_student.make(tmp_path_factory.mktemp("student"))


def written_by(writer: TransformersWriter, path: Path, stop: tuple[str, ...] = ()) -> list[Generated]:
    prompts = [encode_prompt(writer.tokenizer, example.prompt) for example in tiny_student.sums(12)]
    written = Written(path, 12, "test")
    writer.write(prompts, Limits(6, stop), Sampling(1.5, 1.0, range(12)), written)
    assert written.is_whole
    return list(written)


def refuse_above(writer: TransformersWriter, most: int, message: str) -> list[int]:
    """Plant a fault as of a device that holds so many texts and no more; gives the sizes that were tried."""
    import torch

    tried = []

    def forward(model: Any, args: Any, kwargs: Any) -> None:
        tried.append(len(kwargs["input_ids"]))
        if tried[-1] > most:
            raise torch.OutOfMemoryError(message)

    writer._model.register_forward_pre_hook(forward, with_kwargs=True)
    return tried


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.25 GiB",
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 9 bytes",
    ],
)
def test_a_batch_that_memory_does_not_do_for_is_halved_and_the_texts_stay_the_same(
    folder: Path, tmp_path: Path, message: str
) -> None:
    weights = load.Weights(str(folder))
    undisturbed = written_by(TransformersWriter(weights, 12, Silent()), tmp_path / "undisturbed")
    heard = Heard()
    writer = TransformersWriter(weights, 10, heard)
    tried = refuse_above(writer, 3, message)
    assert written_by(writer, tmp_path / "halved") == undisturbed
    assert heard.said == [
        "memory does not do for 10 texts side by side: 5 from here on",
        "memory does not do for 5 texts side by side: 3 from here on",
    ]
    assert sum(heard.counts) == 12
    assert [size for size in tried if size > 3] == [10, 5]
    assert Written(tmp_path / "halved", 12, "test").timing()["batch_size"] == 3


def test_texts_that_ended_before_memory_ran_out_are_written_again_and_counted_once(
    folder: Path, tmp_path: Path
) -> None:
    import torch

    weights, heard = load.Weights(str(folder)), Heard()
    whole = written_by(TransformersWriter(weights, 12, Silent()), tmp_path / "whole")
    stop = (whole[0].text[0],)
    undisturbed = written_by(TransformersWriter(weights, 12, Silent()), tmp_path / "undisturbed", stop)
    early = sum(not text.cut for text in undisturbed)
    assert 0 < early < 12
    writer = TransformersWriter(weights, 12, heard)

    def forward(model: Any, args: Any, kwargs: Any) -> None:
        if heard.counts and not heard.said:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    writer._model.register_forward_pre_hook(forward, with_kwargs=True)
    assert written_by(writer, tmp_path / "halved", stop) == undisturbed
    assert heard.counts[1] == -heard.counts[0]
    assert sum(heard.counts) == 12


def test_a_single_text_that_memory_does_not_do_for_is_a_told_error(folder: Path, tmp_path: Path) -> None:
    writer = TransformersWriter(load.Weights(str(folder)), 4, Silent())
    refuse_above(writer, 0, "CUDA out of memory. Tried to allocate 2.00 GiB")
    with pytest.raises(StageError, match="a single text"):
        writer.write(UNLIKE, Limits(6), None, Written(tmp_path / "written", 4, "test"))


def test_any_other_fault_of_the_model_is_not_taken_for_a_lack_of_memory(folder: Path, tmp_path: Path) -> None:
    writer = TransformersWriter(load.Weights(str(folder)), 4, Silent())
    refuse_above(writer, 0, "a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        writer.write(UNLIKE, Limits(6), None, Written(tmp_path / "written", 4, "test"))


def test_a_prompt_that_leaves_no_room_has_an_empty_text_that_was_cut_and_the_others_are_written(
    folder: Path, tmp_path: Path
) -> None:
    heard = Heard()
    writer = TransformersWriter(load.Weights(str(folder)), 4, heard)
    written = Written(tmp_path / "written", 3, "test")
    writer.write([[5] * 512, [5, 6], [5] * 600], Limits(3), None, written)
    empty = Generated("", 0, True)
    first, second, third = written
    assert (first, third) == (empty, empty) and second.tokens == 3
    told = "2 of 3 prompts fill the 512 tokens that the model takes: their texts are empty, and count as cut"
    assert heard.said == [told]
    assert sum(heard.counts) == 3
    whole = Written(tmp_path / "all", 1, "test")
    writer.write([[5] * 512], Limits(3), None, whole)
    assert list(whole) == [empty]


def test_a_vllm_that_cannot_be_imported_is_a_told_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(StageError, match="vLLM cannot load"):
        VllmWriter(load.Weights(str(folder)), Silent())


def test_without_vllm_and_a_cuda_device_transformers_writes(folder: Path) -> None:
    if load.device() == "cuda":
        pytest.skip("there is one")
    assert backend_of([load.Weights(str(folder))]) == "transformers"


def full(path: Path) -> Written:
    written = Written(path, 5, "test")
    for number, batch in enumerate(BATCHES):
        written.add(batch, Took(0.5, 8 - number, 100 + number))
    return written


def test_texts_are_read_in_order_whatever_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    written = full(tmp_path / "written" / "base.jsonl")
    again = Written(tmp_path / "written" / "base.jsonl", 5, "test")
    assert list(written) == list(again) == TEXTS
    assert (
        written.timing()
        == again.timing()
        == {
            "by": "test",
            "seconds": 1.5,
            "tokens_per_second": 6.7,
            "peak_memory_bytes": 102,
            "batch_size": 6,
        }
    )


def test_wherever_the_file_is_torn_the_whole_batches_before_are_kept_and_it_can_be_written_on(tmp_path: Path) -> None:
    full(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    path = tmp_path / "torn"
    kept = set()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length] + b"\0" * (length % 3))
        written = Written(path, 5, "test")
        kept.add(len(written))
        assert [number in written for number in (3, 1, 0, 4, 2)] == [True] * len(written) + [False] * (5 - len(written))
        for batch in BATCHES:
            if batch[0][0] not in written:
                written.add(batch, Took(0.5))
        assert list(Written(path, 5, "test")) == list(written) == TEXTS
    assert kept == {0, 2, 3, 5}


def test_what_something_else_has_written_is_written_again(tmp_path: Path) -> None:
    full(tmp_path / "written")
    other = Written(tmp_path / "written", 5, "vllm, cuda, bfloat16")
    assert len(other) == 0
    assert (tmp_path / "written").read_bytes() == b""
