"""lm-eval, the harness of standard benchmarks, in a process of its own: `python -m pipeline.student.harness EXAM`.

It seeds the random generators, draws bars, logs, and runs the code of tasks; none of that reaches the run that waits.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, StageError, UsageError
from pipeline.jsonl import write_json
from pipeline.progress import Progress
from pipeline.student import load

EXAM = "exam.json"
"""What is to be measured, while it is."""
THOUGHT = "</think>"
"""What comes before it is no answer."""


@dataclass(frozen=True)
class Exam:
    """What is measured, and how; every model is asked alike."""

    models: Mapping[str, load.Weights]
    """By the name that its files get."""
    tasks: Sequence[str]
    """Names that lm-eval knows, or YAML files."""
    include_path: str | None
    """Folder of further tasks; None has none."""
    num_fewshot: int | None
    limit: int | None
    max_new_tokens: int | None
    batch_size: int
    apply_chat_template: bool
    seed: int


def installed() -> str:
    """The version of lm-eval, which is not imported.

    Raises:
        UsageError: it is not there.
    """
    if find_spec("lm_eval") is None:
        hint = "pip install 'cot-distill[benchmarks]'"
        raise UsageError("standard benchmarks need lm-eval, which is not installed", hint)
    return version("lm_eval")


def check_task(task: str, include_path: Path | None) -> None:
    """Look for a task before anything is made; lm-eval itself would take a minute to read all of its own.

    Raises:
        UsageError: there is no such file, or no task file holds the name.
    """
    if is_file_name(task):
        if not Path(task).is_file():
            raise UsageError(f"no task file {task}")
        return
    spec = find_spec("lm_eval")
    own = [Path(folder) / "tasks" for folder in spec.submodule_search_locations or ()] if spec else []
    if not any(_is_named(task, folder) for folder in (*filter(None, [include_path]), *own)):
        raise UsageError(f"lm-eval has no task {task!r}", "python -m lm_eval ls tasks")


def is_file_name(task: str) -> bool:
    """Whether it names a file of the user's own."""
    return task.endswith(".yaml")


def measure(exam: Exam, folder: Path, log: Path, progress: Progress) -> None:
    """Write NAME.json, lm-eval's results, and NAME_samples.jsonl, its answers, of every model that has none yet.

    Args:
        exam: what to measure.
        folder: for the files.
        log: what lm-eval prints is added to it.
        progress: advanced by one for every request answered.

    Raises:
        StageError: lm-eval stopped.
    """
    left = {name: weights for name, weights in exam.models.items() if not (folder / f"{name}.json").exists()}
    if not left:
        return
    written = {**asdict(exam), "models": {name: asdict(weights) for name, weights in left.items()}}
    write_json(folder / EXAM, written)
    command = [sys.executable, "-m", "pipeline.student.harness", str(folder / EXAM)]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    with (
        log.open("ab") as told,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, env=environment) as process,
    ):
        try:
            for _ in process.stdout or ():
                progress.advance()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise StageError(f"lm-eval stopped: {_last_line(log)}", f"read {log}")
    (folder / EXAM).unlink()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


@cache
def _is_named(task: str, folder: Path) -> bool:
    word = re.compile(rb"(?<![\w-])%b(?![\w-])" % re.escape(task.encode()))
    return any(word.search(path.read_bytes()) for path in folder.rglob("*.yaml"))


def main(path: Path) -> None:
    """Sit the exam of a file: a line on stdout for each request answered, whatever lm-eval prints on stderr."""
    told = json.loads(path.read_text(encoding="utf-8"))
    told["models"] = {name: load.Weights(**weights) for name, weights in told["models"].items()}
    counts = sys.stdout
    with redirect_stdout(sys.stderr):
        for name, results in _results(Exam(**told), lambda: print(file=counts, flush=True)):
            with (path.parent / f"{name}_samples.jsonl").open("w", encoding="utf-8") as file:
                for task, samples in results.pop("samples").items():
                    file.writelines(_json({"task": task, **sample}) + "\n" for sample in samples)
            write_json(path.parent / f"{name}.json", json.loads(_json(results)))


def _results(exam: Exam, answered: Callable[[], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What lm-eval says of one model after the other."""
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import set_seed

    own_alone = all(is_file_name(task) for task in exam.tasks)
    manager = TaskManager(include_path=exam.include_path, include_defaults=not own_alone)
    for name, weights in exam.models.items():
        set_seed(exam.seed)
        tasks = manager.load(list(exam.tasks))
        for task in tasks["tasks"].values():
            task.set_fewshot_seed(seed=exam.seed)
            if exam.num_fewshot is not None and task.get_config("num_fewshot") != 0:
                task.set_config(key="num_fewshot", value=exam.num_fewshot)
            if exam.max_new_tokens is not None and task.get_config("output_type") == "generate_until":
                task.set_config(key="generation_kwargs", value={"max_gen_toks": exam.max_new_tokens}, update=True)
        model = load.load_model(weights, load.fast_dtype())
        harness = HFLM(
            pretrained=model,
            tokenizer=load.load_tokenizer(weights),
            batch_size=exam.batch_size,
            think_end_token=THOUGHT,
        )
        harness.set_cache_hook(_Count(answered))
        yield (
            name,
            evaluate(
                harness,
                tasks,
                limit=exam.limit,
                apply_chat_template=exam.apply_chat_template,
                fewshot_as_multiturn=exam.apply_chat_template,
            ),
        )
        del harness, model
        load.free()


class _Count:
    """Stands where lm-eval would cache an answer."""

    def __init__(self, answered: Callable[[], None]) -> None:
        self.answered = answered

    def add_partial(self, kind: str, request: Any, answer: Any) -> None:
        """One request is answered."""
        self.answered()


def _json(value: Any) -> str:
    """With numpy's numbers as numbers, and whatever else JSON does not know as text."""
    return json.dumps(value, ensure_ascii=False, default=lambda other: getattr(other, "tolist", other.__str__)())


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except PipelineError as error:
        sys.exit(f"error: {error.fact}")
