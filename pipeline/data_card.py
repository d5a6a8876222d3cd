"""The card of a data set: how to load it, what a row holds, where the rows came from, what was left out and why."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.funnel import DATA_SET, Funnel
from pipeline.report.files import RunFiles, StepFiles
from pipeline.similar.contamination import Contamination

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

# {count:,} examples for supervised fine-tuning

`prompt` and `completion` are chats: `datasets.load_dataset` opens this folder, and TRL's `SFTTrainer` takes the rows
as they are, the prompt masked. A model wrote the completions, but for gold answers. Each row leads back:
`python -m pipeline lineage ID --run {run}` shows its problem and, by its `keys`, the requests and raw replies in the
ledger with their dates and prices.

| task | weight | rows |
|---|---|---|
{tasks}

| source of the problems | licence | rows |
|---|---|---|
{sources}

| teacher | model | terms of use | rows |
|---|---|---|---|
{teachers}

A teacher's terms of use may forbid training a competing model on what it wrote, whatever the licence of the problems.

| what vouches for the answer | rows |
|---|---|
{labels}
{ends}{contamination}"""

ENDS = """
## Where every problem and every sample ended

| step | reason | problems | samples |
|---|---|---|---|
{rows}
"""

CONTAMINATION = """
## Held-out questions

{solutions:,} solutions were compared with {held_out:,} held-out questions: with all of them exactly or whole, with
{compared_by_words:,} by 13 words in a row.

| found | solutions | problems | |
|---|---|---|---|
{rows}
"""

VOUCHING = {
    "gold": "the gold answer",
    "vote": "the vote of the teacher's samples",
    "judge": "a model that judged",
    None: "nothing",
}


def write_cards(run: RunFiles, funnel: Funnel | None) -> None:
    """Write the card of each data set of a run, in Markdown with the front matter that `datasets` reads."""
    for step in run.of_stage(DATA_SET):
        folder = step.folder / "dataset"
        if (folder / "train.parquet").is_file():
            part = folder / "README.md.part"
            part.write_text(_card(run, step, funnel), encoding="utf-8")
            part.replace(folder / "README.md")


def _card(run: RunFiles, step: StepFiles, funnel: Funnel | None) -> str:
    import pyarrow.parquet as pq

    columns = ["task", "weight", "source", "licence", "teacher", "terms", "label"]
    file = pq.ParquetFile(step.folder / "dataset" / "train.parquet")
    groups = file.read([name for name in columns if name in file.schema_arrow.names]).group_by
    chosen = (run.about.get("choices") or {}).get("teachers", {})

    def counted(*names: str) -> list[tuple[Any, ...]]:
        """The values of these columns that stand together, and in how many rows."""
        known = [name for name in names if name in file.schema_arrow.names]
        counts = groups(known).aggregate([([], "count_all")]).to_pylist()
        return sorted(((*(row.get(name) for name in names), row["count_all"]) for row in counts), key=str)

    return CARD.format(
        run=run.folder.name,
        count=file.metadata.num_rows,
        tasks=_table((task, f"{weight:g}", count) for task, weight, count in counted("task", "weight")),
        sources=_table(
            (source, licence or "not given", count) for source, licence, count in counted("source", "licence")
        ),
        teachers=_table(
            (name, _model(chosen.get(name, {})), terms or "not given", count)
            for name, terms, count in counted("teacher", "terms")
        ),
        labels=_table((VOUCHING[label], count) for label, count in counted("label")),
        ends=ENDS.format(rows=_table(_ends(funnel))) if funnel else "",
        contamination=_contamination(run),
    )


def _ends(funnel: Funnel) -> Iterable[tuple[object, ...]]:
    problems, samples = funnel.problems, funnel.samples
    yield "in the data set", "", problems.in_data_set, samples.in_data_set
    for step in dict.fromkeys([*problems.lost, *samples.lost]):
        lost = problems.lost.get(step, {}), samples.lost.get(step, {})
        for reason in dict.fromkeys([*lost[0], *lost[1]]):
            yield step, reason, *(counts.get(reason, 0) for counts in lost)
    yield "all", "", problems.entered, samples.entered


def _contamination(run: RunFiles) -> str:
    """What the steps that looked for held-out questions found."""
    parts = []
    for found in filter(None, (Contamination.read(step.folder) for step in run.steps)):
        rows = [
            (how, one.solutions, one.problems, "removed" if one.removed else "kept") for how, one in found.found.items()
        ]
        figures = found.model_dump(include={"solutions", "held_out", "compared_by_words"})
        parts.append(CONTAMINATION.format(rows=_table(rows or [("none", 0, 0, "")]), **figures))
    return "".join(parts)


def _model(teacher: Mapping[str, Any]) -> str:
    return teacher.get("model") or teacher.get("local") or teacher.get("recorded") or "not known"


def _table(rows: Iterable[Iterable[object]]) -> str:
    return "\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")
