"""Run standard benchmarks on the base model and the trained student through lm-eval, and compare them.

Reads   nothing; the student of the step that plays `student`
Writes  Score, one a model, task and metric; no drops. Beside them benchmarks.json, the comparisons; base.json and
        student.json, what lm-eval wrote; base_samples.jsonl and student_samples.jsonl, every answer
Source  Gao et al., "The Language Model Evaluation Harness", doi:10.5281/zenodo.12608602
Differs greedy and batched as lm-eval is: with another batch_size the last digits of a likelihood may differ. What a
        model writes is judged without its thoughts, up to `</think>`
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.benchmarks import COMPARED, Results, compared
from pipeline.errors import UsageError
from pipeline.jsonl import write_json
from pipeline.rows import Row, Score
from pipeline.stage import Rows, Stage, Work
from pipeline.student import harness, load
from pipeline.weights import hash_of

MODELS: tuple[Literal["base", "student"], ...] = ("base", "student")


class Benchmark(Stage):
    """Both models get the same tasks, settings and seed. A stopped step goes on with the model that it was at."""

    version = 2
    writes = Score
    resumes = True

    model: str
    """The student before training: a name on the Hugging Face hub, a folder, a GGUF file, or `embedded`."""
    tasks: tuple[str, ...] = Field(min_length=1)
    """Tasks or groups as `python -m lm_eval ls tasks` names them, or YAML files of your own with one task each. Data
    files that such a file names lie where lm-eval looks for them: from the working directory."""
    include_path: str | None = None
    """Folder of tasks and groups of your own, to be named under `tasks`; None has none."""
    limit: int | None = Field(default=None, ge=1)
    """Questions of each task, from its beginning; None takes all."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples shown before a question; None takes each task's own number, and a task that sets 0 keeps it."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Most tokens that are written for a question, thoughts included; None takes each task's own number, which is 256
    where it names none: too few for a student that thinks."""
    batch_size: int = Field(default=8, ge=1)
    """Requests that are answered side by side."""
    apply_chat_template: bool | None = None
    """Whether a question is put as a chat turn. None does so where the student has a chat template: it was trained with
    it."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the examples shown, and of tasks that draw."""

    def outside(self, base: Path) -> dict[str, str]:
        """lm-eval's version, the base model's weights, and the user's own task files.

        Raises:
            UsageError: lm-eval is not installed or knows no such task, or a file or folder is missing.
        """
        found = {"lm_eval": harness.installed(), "model": load.fingerprint(self.model, base)}
        folder = base / self.include_path if self.include_path else None
        if folder is not None and not folder.is_dir():
            raise UsageError(f"include_path: no folder {folder}")
        for task in self._tasks(base):
            harness.check_task(task, folder)
        for name in filter(None, (*filter(harness.is_file_name, self.tasks), self.include_path)):
            found[name] = hash_of(base / name)
        return found

    def run(self, rows: Rows[Row], work: Work) -> Iterator[Score]:
        """Measure both models, then compare them."""
        weights = {
            "base": load.find(self.model, work.base),
            "student": load.Weights(str(work.uses["student"] / "model")),
        }
        exam = harness.Exam(
            models=weights,
            tasks=self._tasks(work.base),
            include_path=str(work.base / self.include_path) if self.include_path else None,
            num_fewshot=self.num_fewshot,
            limit=self.limit,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
            apply_chat_template=self._as_chat(weights["student"]),
            seed=self.seed,
        )
        harness.measure(exam, work.folder, work.logs / f"{work.step}.log", work.progress)
        found = {name: Results.read(work.folder, name) for name in MODELS}
        asked = {"apply_chat_template": exam.apply_chat_template, "lm_eval": harness.installed()}
        write_json(work.folder / COMPARED, {**compared(found["base"], found["student"]), **asked})
        for name in MODELS:
            yield from found[name].scores(name)

    def _tasks(self, base: Path) -> list[str]:
        return [str(base / task) if harness.is_file_name(task) else task for task in self.tasks]

    def _as_chat(self, student: load.Weights) -> bool:
        if self.apply_chat_template is not None:
            return self.apply_chat_template
        return load.load_tokenizer(student).chat_template is not None
