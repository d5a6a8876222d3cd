"""What lm-eval found of the base model and the student, compared question by question."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pipeline.rows import Score
from pipeline.statistics import paired_gain

COMPARED = "benchmarks.json"
"""The comparisons, beside the rows."""

Question = tuple[str, int, str]
"""Task, place in it, and the hash of its document."""


@dataclass(frozen=True)
class Results:
    """What lm-eval found of one model."""

    told: Mapping[str, Any]
    """Its results as it wrote them."""
    answers: Mapping[tuple[str, str], Mapping[Question, float]]
    """(task, `metric,filter`) -> the value of each question."""

    @classmethod
    def read(cls, folder: Path, name: str) -> "Results":
        """Read the two files of a model."""
        answers: defaultdict[tuple[str, str], dict[Question, float]] = defaultdict(dict)
        with (folder / f"{name}_samples.jsonl").open(encoding="utf-8") as lines:
            for sample in map(json.loads, lines):
                question = sample["task"], sample["doc_id"], sample["doc_hash"]
                for metric in sample["metrics"]:
                    answers[sample["task"], f"{metric},{sample['filter']}"][question] = sample[metric]
        return cls(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), answers)

    def metrics(self, name: str) -> dict[str, float | None]:
        """The metrics of a task or a group, by `metric,filter`; None for one that could not be computed."""
        told = self.told["results"].get(name, {})
        return {key: _number(told[key]) for key in told if "," in key and "_stderr," not in key}

    def scores(self, model: Literal["base", "student"]) -> Iterator[Score]:
        """One row a task, or group of tasks, and metric."""
        for name, told in self.told["results"].items():
            for key, value in self.metrics(name).items():
                metric = metric_name(key)
                error = _number(told.get(key.replace(",", "_stderr,", 1)))
                n = sum(self.told["n-samples"][task]["effective"] for task in self.tasks(name))
                yield Score(
                    id=f"{name}/{metric}/{model}", task=name, metric=metric, model=model, value=value, stderr=error, n=n
                )

    def chosen(self) -> list[str]:
        """What the user named: every group that has metrics of its own, and every task that is in none of these."""
        summed = [name for name in self.told["group_subtasks"] if self.metrics(name)]
        inside = {child for name in summed for child in self._below(name)}
        return [name for name in self.told["results"] if name not in inside]

    def tasks(self, name: str) -> list[str]:
        """The tasks of a group, those of its groups among them; a task is its own."""
        groups = self.told["group_subtasks"]
        return [below for below in self._below(name) if not groups.get(below)] or [name]

    def _below(self, name: str) -> list[str]:
        children = self.told["group_subtasks"].get(name, ())
        return [below for child in children for below in (child, *self._below(child))]

    def shares(self, name: str, key: str) -> dict[Question, float] | None:
        """The value 0..1 of each question; None where the metric is no mean of such, or less of it is better."""
        better = self.told["higher_is_better"].get(name, {}).get(key.partition(",")[0])
        values = {place: value for task in self.tasks(name) for place, value in self.answers[task, key].items()}
        reported = self.metrics(name)[key]
        if not better or reported is None or not all(_is_share(value) for value in values.values()):
            return None
        return values if values and abs(fmean(values.values()) - reported) < 1e-6 else None


def compared(base: Results, student: Results) -> dict[str, Any]:
    """What `benchmarks.json` holds: base against student on all that was chosen.

    Every interval allows for the number of them, so that all hold at once at 95 %: of twenty benchmarks at 95 % each,
    chance alone would call one a gain or a loss two times in three. Holm's steps would find a little more, but give no
    intervals to show.
    """
    pairs: dict[tuple[str, str], tuple[dict[Question, float], dict[Question, float]]] = {}
    left_out = []
    for name in base.chosen():
        for key in base.metrics(name):
            before, after = base.shares(name, key), student.shares(name, key)
            if before is None or after is None or before.keys() != after.keys():
                left_out.append(f"{name} {metric_name(key)}")
            else:
                pairs[name, key] = before, after
    lines = []
    for (name, key), (before, after) in pairs.items():
        gain = paired_gain(list(before.values()), [after[place] for place in before], comparisons=len(pairs))
        lines.append(
            {
                "task": name,
                "metric": metric_name(key),
                "n": len(before),
                "of": sum(base.told["n-samples"][task]["original"] for task in base.tasks(name)),
                "base": fmean(before.values()),
                "student": fmean(after.values()),
                **asdict(gain),
                "outcome": "gained" if gain.low > 0 else "lost" if gain.high < 0 else "unclear",
            }
        )
    confidence = 1 - 0.05 / max(len(pairs), 1)
    return {"confidence": confidence, "comparisons": lines, "not_compared": left_out}


def metric_name(key: str) -> str:
    """lm-eval's `metric,filter`, without the filter `none`."""
    return key.removesuffix(",none")


def _number(value: Any) -> float | None:
    """A finite number; lm-eval writes `N/A` for others, or NaN."""
    is_number = isinstance(value, int | float) and abs(value) < float("inf")
    return float(value) if is_number else None


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1
