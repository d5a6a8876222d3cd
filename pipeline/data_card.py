"""The card of a data set: how to load it, what a row holds, where the rows came from."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.rows import Example

CARD = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: train.parquet
task_categories:
- text-generation
---

# {count} examples for supervised fine-tuning

`prompt` and `completion` are chats: `datasets.load_dataset` opens this folder, and TRL's `SFTTrainer` takes the rows
as they are, the prompt masked. The completions were written by a model, not by people. Each row leads back:
`problem_id` to the problem, `id` to the solution in `rows.jsonl` of the steps before, `keys` to the raw replies in
the ledger.

| task | rows | weight |
|---|---|---|
{tasks}

| source of the problems | licence | rows |
|---|---|---|
{sources}

| teacher | rows |
|---|---|
{teachers}

A teacher's terms of use may forbid training a competing model on what it wrote, whatever the licence of the problems.
"""


def write_card(examples: Sequence[Example], path: Path) -> None:
    """Write the card of these examples, in Markdown with the front matter that `datasets` reads."""
    tasks = Counter((example.task, example.weight) for example in examples)
    sources = Counter((example.source, example.licence) for example in examples)
    teachers = Counter(example.teacher for example in examples)
    path.write_text(
        CARD.format(
            count=len(examples),
            tasks="\n".join(f"| {task} | {count} | {weight:g} |" for (task, weight), count in sorted(tasks.items())),
            sources="\n".join(
                f"| {source} | {licence or 'not given'} | {count} |"
                for (source, licence), count in sorted(sources.items(), key=str)
            ),
            teachers="\n".join(f"| {teacher} | {count} |" for teacher, count in sorted(teachers.items())),
        ),
        encoding="utf-8",
    )
