"""A million samples through check, vote, filter and assemble, and their funnel: seconds, and the most memory.

    python benchmarks/samples.py [--problems 250000] [--samples 4] [--folder FOLDER]

Problems and solutions are made up: sums in five steps, one solution in five with a wrong answer, one in fifty with
none, one in a hundred in a loop. Each step runs in a process of its own, as `run` would run it, and the memory is that
process's at its greatest, with that of its greatest worker beside it. The folder takes 1.5 kB a sample and step.
"""

import argparse
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.funnel import funnel_of
from pipeline.jsonl import StoredRows, write_json
from pipeline.making import make_rows
from pipeline.progress import Silent
from pipeline.recipe import Step
from pipeline.record import RECORD, Counts, Record
from pipeline.report.files import RunFiles
from pipeline.rows import Problem, Solution
from pipeline.stage import Work
from stages.assemble import Assemble
from stages.check import Check
from stages.filter import Filter
from stages.vote import Vote

STEPS = [
    Step("check", Check(), rows=("solve",)),
    Step("vote", Vote(min_share=0.5), rows=("check",)),
    Step("filter", Filter(), rows=("vote",)),
    Step("assemble", Assemble(prompt="r1-distill/student"), rows=("filter",)),
]
LIMIT_MB = 1000


def main() -> None:
    """Make the samples, run the steps, print a table; exit 1 where a step took more memory than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=250_000)
    parser.add_argument("--samples", type=int, default=4, help="of each problem")
    parser.add_argument("--folder", type=Path, help="where the rows are written; else a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samples-", dir=options.folder) as name:
        run = Path(name)
        most = 0
        print(
            f"{'':9} {'entered':>10} {'written':>10} {'dropped':>10} {'seconds':>9} {'a second':>9} {'MB':>6}  worker"
        )
        for told in ("made", *(step.name for step in STEPS), "funnel"):
            figures = _in_a_process(run, told, options.problems, options.samples)
            most = max(most, figures[-2], figures[-1])
            entered, written, dropped, seconds, memory_mb, worker_mb = figures
            rate = max(entered, written) / seconds
            print(
                f"{told:9} {entered:10,} {written:10,} {dropped:10,} {seconds:9.1f} {rate:9,.0f} {memory_mb:6,}  "
                f"{worker_mb:,}",
                flush=True,
            )
    print(f"at most {most:,} MB in one process; {LIMIT_MB:,} MB are allowed")
    sys.exit(most > LIMIT_MB)


def _in_a_process(run: Path, told: str, problems: int, samples: int) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(run, told, problems, samples, sender))
    process.start()
    sender.close()
    figures: list[Any] = receiver.recv()
    process.join()
    return figures


def _measured(run: Path, told: str, problems: int, samples: int, sender: Any) -> None:
    """Do one part; send entered, written, dropped, seconds, and MB of this process and of its greatest worker."""
    begun = time.perf_counter()
    if told == "made":
        counts = _make(run, problems, samples)
    elif told == "funnel":
        counts = _reckon(run)
    else:
        counts = _run(run, next(step for step in STEPS if step.name == told))
    seconds = time.perf_counter() - begun
    memory = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    sender.send([*counts, seconds, *memory])


def _make(run: Path, problems: int, samples: int) -> tuple[int, int, int]:
    """Write what `load` and `solve` would have."""
    chance = random.Random(1)
    for name in ("load", "solve"):
        (run / name).mkdir()
        (run / name / "dropped.jsonl").touch()
    with (run / "load" / "rows.jsonl").open("w") as asked, (run / "solve" / "rows.jsonl").open("w") as solved:
        for index in range(problems):
            problem, solutions = _problem(index, samples, chance)
            asked.write(problem.model_dump_json() + "\n")
            solved.writelines(solution.model_dump_json() + "\n" for solution in solutions)
    reads: dict[str, tuple[str, ...]] = {"load": (), "solve": ("load",), **{step.name: step.rows for step in STEPS}}
    write_json(run / "run.json", {"steps": [{"name": name, "stage": name, "rows": reads[name]} for name in reads]})
    _record(run, "load", (), Counts(entered=0, carried=0, written=problems, dropped={}))
    _record(run, "solve", ("load",), Counts(entered=problems, carried=problems, written=problems * samples, dropped={}))
    return 0, problems * samples, 0


def _problem(index: int, samples: int, chance: random.Random) -> tuple[Problem, Iterator[Solution]]:
    terms = [chance.randint(2, 99) for _ in range(6)]
    gold = sum(terms)
    question = f"A shelf holds {', then '.join(f'{term} books' for term in terms)}. How many books is that in all?"
    name = f"train-{index:06d}"
    problem = Problem(id=name, question=question, answer=str(gold), source="made-up.jsonl", licence="CC0-1.0")
    return problem, (_solution(problem, terms, sample, chance) for sample in range(samples))


def _solution(problem: Problem, terms: list[int], sample: int, chance: random.Random) -> Solution:
    lines, total = [], terms[0]
    for term in terms[1:]:
        lines.append(f"We add {term} to what is there: {total} + {term} = {total + term}.")
        total += term
    draw = chance.random()
    found = None if draw < 0.02 else str(total + chance.choice((1, 2, 10))) if draw < 0.22 else str(total)
    rationale = " ".join(lines if draw < 0.99 else lines * 8)
    return Solution(
        id=f"{problem.id}/{sample}",
        parent=problem.id,
        problem=problem,
        text=f"{rationale} The answer is {found}." if found else rationale,
        rationale=rationale,
        found=found,
        teacher="main",
        keys=(f"{chance.getrandbits(256):064x}",),
    )


def _run(run: Path, step: Step) -> tuple[int, int, int]:
    folder = run / step.name
    folder.mkdir()
    work = Work(step.name, folder, run, _Nobody(), Silent(), run)
    rows = StoredRows([run / name / "rows.jsonl" for name in step.rows], Solution)
    counts = make_rows(step, rows, work, folder)
    _record(run, step.name, step.rows, counts)
    return counts.entered, counts.written, sum(counts.dropped.values())


def _reckon(run: Path) -> tuple[int, int, int]:
    funnel = funnel_of(RunFiles.read(run))
    assert funnel is not None
    samples = funnel.samples
    return samples.entered, samples.in_data_set, sum(samples.lost_at(step) for step in samples.lost)


def _record(run: Path, name: str, inputs: tuple[str, ...], counts: Counts) -> None:
    made = Record(
        step=name, stage=name, version=1, fields={}, inputs=dict.fromkeys(inputs, "made"), output="made", counts=counts
    )
    write_json(run / name / RECORD, made.model_dump(mode="json"))


class _Nobody:
    """A door to the teachers behind which nobody is: these stages ask nothing."""

    def ask(self, *asked: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def in_batches(self, teacher: str) -> bool:
        """Never called."""
        raise NotImplementedError


if __name__ == "__main__":
    main()
