"""Answers judged a second, beside bare Math-Verify on the same strings in the same run.

    python benchmarks/judge.py [--data ../shared/data] [--rows 5000] [--expressions 2000] [--workers 2]

Plain answers are real: the final answers of four models to GSM8K, and the options that PaLM chose on CommonsenseQA, as
they were found and in their whole replies.
Expressions are made with sympy: each is written in two ways, and half of the second ones mean something else. Bare is
`verify(parse(gold), parse(found))` in one process, warmed up, with its own time limits off, as ours are in the workers.
No question is asked twice, so nothing is answered from memory.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipeline.answers import find
from pipeline.answers.canonical import LETTERS
from pipeline.answers.comparing import Asked, compare, compare_many, cores
from pipeline.rows import Problem

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PLAIN_WANTED = 10.0
"""Times the rate of bare Math-Verify, wanted of plain answers."""
EXPRESSIONS_WANTED = 0.7
"""Times the rate of bare Math-Verify and the number of workers, wanted of expressions."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def numbers(data: Path) -> Iterator[Asked]:
    """The final answers of four models to GSM8K's test questions."""
    for row in rows(data / "gsm8k/example_model_solutions.jsonl"):
        problem = Problem(id="p", question=row.pop("question"), answer=row.pop("ground_truth").rpartition("A: ")[2])
        yield from (_asked(solution["solution"], problem) for solution in row.values())


def choices(data: Path) -> Iterator[Asked]:
    """The options that PaLM chose on CommonsenseQA; gold is a letter, as `load` writes it."""
    for row in rows(data / "palm/cqa-train.jsonl"):
        options = tuple(row["choices"])
        gold = LETTERS[options.index(row["gold"])]
        problem = Problem(id="p", question=row["question"], answer=gold, choices=options)
        yield _asked(row["completion"], problem)


def _asked(text: str, problem: Problem) -> Asked:
    return Asked(find(text, problem), problem, text)


def expressions(count: int, seed: int) -> Iterator[Asked]:
    """Pairs as in competition mathematics: gold, and an answer written in another way or with another value."""
    import sympy

    draw = random.Random(seed)
    x, y = sympy.symbols("x y")

    def whole(most: int = 12) -> int:
        return draw.choice([-1, 1]) * draw.randint(1, most)

    kinds: list[Callable[[], tuple[Any, Any]]] = [
        lambda: ((f := (x + whole()) * (x + whole()) * whole()), sympy.expand(f)),
        lambda: ((f := sympy.sqrt(draw.randint(2, 99)) * whole() / draw.randint(2, 9) + whole()), sympy.together(f)),
        lambda: ((f := (x * whole() + whole()) / (x + whole()) + whole()), sympy.together(f)),
        lambda: ((f := sympy.pi * sympy.Rational(whole(40), draw.randint(2, 30)) + whole()), sympy.together(f)),
        lambda: ((f := (x + y * whole()) ** 2 + whole(99)), sympy.expand(f)),
        lambda: ((f := sympy.Interval.open(whole(20), 20 + draw.randint(1, 80))), f),
        lambda: ((f := sympy.FiniteSet(*(sympy.Rational(whole(30), draw.randint(1, 9)) for _ in range(3)))), f),
        lambda: ((f := sympy.Rational(whole(99), 7) * 2 ** draw.randint(3, 9) * x ** draw.randint(2, 5)), f),
        lambda: ((f := sympy.Matrix(2, 2, [whole(), whole(), whole(), whole()])), f),
    ]
    for number in range(count):
        gold, same = kinds[number % len(kinds)]()
        text, other = sympy.latex(gold), sympy.latex(same)
        found = other if draw.random() < 0.5 else other.replace(*_digit(other, draw), 1)
        yield Asked(found, Problem(id="p", question="?", answer=text))


def _digit(text: str, draw: random.Random) -> tuple[str, str]:
    """A digit of a text and another."""
    old = draw.choice([char for char in text if char.isdecimal()] or ["0"])
    return old, str((int(old) + draw.randint(1, 8)) % 10)


def bare(pairs: Sequence[tuple[str, str]], letters: tuple[str, ...] = ()) -> Counter[bool]:
    """Judged by Math-Verify, which is told the letters where options are asked for."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

    read = [StringExtractionConfig(letters)] if letters else [LatexExtractionConfig(), ExprExtractionConfig()]
    return Counter(
        verify(parse(gold, read, parsing_timeout=None), parse(found, read, parsing_timeout=None), timeout_seconds=None)
        for gold, found in pairs
    )


def rate(work: Callable[[], Counter[Any]], count: int) -> tuple[float, Counter[Any]]:
    """Judged a second, and the outcomes."""
    began = time.perf_counter()
    outcomes = work()
    return count / (time.perf_counter() - began), outcomes


def plain(name: str, asked: Sequence[Asked], letters: tuple[str, ...] = ()) -> None:
    """Two lines: the answers as they were found, and the whole replies, in which each finds them its own way."""
    golds = [row.problem.answer or "" for row in asked]
    found, whole = ([(row.found or "") for row in asked], [row.text for row in asked])
    plain_line(
        name,
        lambda: Counter(compare(row.found, row.problem) for row in asked),
        lambda: bare(list(zip(golds, found, strict=True)), letters),
        len(asked),
    )
    plain_line(
        f"{name} in replies",
        lambda: Counter(compare(find(row.text, row.problem), row.problem) for row in asked),
        lambda: bare(list(zip(golds, whole, strict=True)), letters),
        len(asked),
    )


def plain_line(
    title: str, our_way: Callable[[], Counter[Any]], bare_way: Callable[[], Counter[Any]], count: int
) -> None:
    ours, outcomes = rate(our_way, count)
    theirs, verdicts = rate(bare_way, count)
    print(
        f"| {title} | {count:,} | 1 | {theirs:,.0f} | {verdicts[True]:,} | {ours:,.0f} | {outcomes['right']:,} "
        f"| {ours / theirs:.1f} | {PLAIN_WANTED:.1f} |"
    )


def symbolic(asked: Sequence[Asked], workers: int) -> None:
    pairs = [(f"${row.problem.answer}$", f"${row.found}$") for row in asked]
    theirs, verdicts = rate(lambda: bare(pairs), len(pairs))
    ours, outcomes = rate(lambda: Counter(compare_many(asked, workers=workers)), len(asked))
    print(
        f"| expressions | {len(asked):,} | {workers} | {theirs:,.0f} | {verdicts[True]:,} | {ours:,.0f} "
        f"| {outcomes['right']:,} | {ours / theirs:.2f} | {EXPRESSIONS_WANTED * workers:.1f} |"
    )


def main() -> None:
    """Print a table, a line a kind of answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=5000, help="plain answers of each kind, at most")
    parser.add_argument("--expressions", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=cores())
    options = parser.parse_args()
    logging.disable()
    print("| answers | of them | workers | bare a second | right | ours a second | right | times bare | wanted |")
    print("|---|---|---|---|---|---|---|---|---|")
    warm = list(expressions(40, seed=1))
    bare([(f"${row.problem.answer}$", f"${row.found}$") for row in warm])
    list(compare_many(warm, workers=options.workers))
    if options.data.is_dir():
        plain("numbers", list(islice(numbers(options.data), options.rows)))
        plain("choices", list(islice(choices(options.data), options.rows)), tuple("abcde"))
    symbolic(list(expressions(options.expressions, seed=0)), options.workers)


if __name__ == "__main__":
    main()
