"""The budget: what is set aside, what counts as used, and that no run passes it, however often it is killed."""

import asyncio
import multiprocessing
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.choices import Choices, Price, TeacherChoice
from pipeline.errors import BudgetError, PipelineError, UsageError
from pipeline.progress import Silent
from pipeline.rows import Message
from pipeline.stage import Conversation, Reply, Request
from pipeline.teacher import Teachers
from pipeline.teacher.accounts import Books
from pipeline.teacher.budget import Amount, Budget, Caps
from pipeline.teacher.dialect import Usage
from pipeline.teacher.keys import Teacher
from pipeline.teacher.ledger.entries import Intent, Outcome, Sample
from pipeline.teacher.ledger.ledger import Ledger
from pipeline.teacher.ledger.settling import release
from pipeline.teacher.limits.gate import Clock
from pipeline.teacher.prices import PICODOLLARS, Rates, rates_of
from tests.fake_teacher import FakeTeacher
from tests.project import Project
from tests.provider.behaviour import Behaviour
from tests.provider.completion import completion

DOLLAR = PICODOLLARS
URL = "http://teacher/v1"
RUNS = 100
SEED = int(os.environ.get("BUDGET_SEED", "20261122"))


@pytest.mark.parametrize(
    ("caps", "taken", "mosts", "fitting"),
    [
        (Caps(), Amount(10**30, 10**30, 10**30), [Amount(DOLLAR, 1000, 1)] * 3, 3),
        (Caps(picodollars=3 * DOLLAR), Amount(), [Amount(DOLLAR, 9, 1)] * 5, 3),
        (Caps(picodollars=3 * DOLLAR), Amount(1), [Amount(DOLLAR, 9, 1)] * 5, 2),
        (Caps(tokens=100), Amount(0, 40, 0), [Amount(DOLLAR, 30, 1), Amount(0, 30, 1), Amount(0, 1, 1)], 2),
        (Caps(requests=2), Amount(), [Amount(DOLLAR, 9, 1)] * 3, 2),
        (Caps(DOLLAR, 1000, 5), Amount(), [Amount(DOLLAR // 2, 600, 1)] * 3, 1),
    ],
)
def test_as_many_requests_are_set_aside_as_fit_into_every_cap(
    caps: Caps, taken: Amount, mosts: list[Amount], fitting: int
) -> None:
    assert Budget(caps, taken).reserve(mosts) == fitting


@pytest.mark.parametrize(
    ("caps", "taken", "most", "told"),
    [
        (
            Caps(picodollars=DOLLAR // 2),
            Amount(DOLLAR // 4),
            Amount(DOLLAR // 3, 9, 1),
            "the budget of 0.50 USD is reached: 0.2500 are spent, and the next request may cost up to 0.3333",
        ),
        (
            Caps(tokens=10_000),
            Amount(0, 9_990, 9),
            Amount(0, 20, 1),
            "the budget of 10,000 tokens is reached: 9,990 are used, and the next request may use up to 20",
        ),
        (Caps(requests=7), Amount(0, 0, 7), Amount(0, 0, 1), "the budget of 7 requests is reached: 7 are sent"),
        (
            Caps(picodollars=DOLLAR // 250),
            Amount(DOLLAR // 625),
            Amount(DOLLAR // 100, 9, 1),
            "the budget of 0.004 USD is reached: 0.0016 are spent, and the next request may cost up to 0.0100",
        ),
        (
            Caps(picodollars=12_500_000),
            Amount(1_230_000),
            Amount(DOLLAR // 3, 9, 1),
            "the budget of 0.0000125 USD is reached: 0.0000012 are spent, and the next request may cost up to 0.3333",
        ),
    ],
)
def test_a_cap_that_is_reached_is_told_in_its_currency(caps: Caps, taken: Amount, most: Amount, told: str) -> None:
    with pytest.raises(BudgetError) as caught:
        Budget(caps, taken).reserve([most])
    assert caught.value.fact == told
    assert "raise budget_" in (caught.value.hint or "")
    assert "ledger settle" not in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        (
            Caps(picodollars=DOLLAR // 100),
            "0.01 USD is reached: 0.0016 are spent, 0.0059 may have been billed without an answer, and the next",
        ),
        (Caps(tokens=100), "100 tokens is reached: 30 are used, 60 may have been used without an answer, and the next"),
    ],
)
def test_what_may_have_been_billed_is_told_apart_with_the_command_that_settles_it(caps: Caps, told: str) -> None:
    taken, maybe = Amount(DOLLAR * 75 // 10_000, 90, 2), Amount(DOLLAR * 59 // 10_000, 60, 1)
    with pytest.raises(BudgetError, match=re.escape(told)) as caught:
        Budget(caps, taken, lambda: maybe).reserve([Amount(DOLLAR, 20, 1)])
    assert "python -m pipeline ledger settle" in (caught.value.hint or "")


def test_who_does_not_fit_waits_for_those_in_flight_and_takes_what_they_leave() -> None:
    order = []

    async def ask(budget: Budget, name: str, used: Amount, done: asyncio.Event | None) -> None:
        async with budget.reserved(Amount(tokens=60)) as charge:
            order.append(name)
            if done:
                await done.wait()
            charge(used)

    async def both() -> None:
        budget, done = Budget(Caps(tokens=100), Amount()), asyncio.Event()
        first = asyncio.create_task(ask(budget, "first", Amount(tokens=40), done))
        await asyncio.sleep(0)
        second = asyncio.create_task(ask(budget, "second", Amount(tokens=60), None))
        await asyncio.sleep(0)
        assert order == ["first"]
        done.set()
        await asyncio.wait_for(asyncio.gather(first, second), 10)
        with pytest.raises(BudgetError, match="100 are used"):
            budget.reserve([Amount(tokens=1)])

    asyncio.run(both())
    assert order == ["first", "second"]


def test_what_nobody_told_the_use_of_counts_at_its_most() -> None:
    async def ask() -> None:
        budget = Budget(Caps(tokens=100), Amount())
        with pytest.raises(ZeroDivisionError):
            async with budget.reserved(Amount(tokens=60)):
                raise ZeroDivisionError
        with pytest.raises(BudgetError, match="60 are used"):
            budget.reserve([Amount(tokens=41)])

    asyncio.run(ask())


def test_a_request_that_used_more_than_its_most_counts_with_that() -> None:
    budget = Budget(Caps(tokens=100), Amount())
    budget.reserve([Amount(tokens=60)])
    budget.free(Amount(tokens=60), Amount(tokens=95))
    with pytest.raises(BudgetError, match="95 are used"):
        budget.reserve([Amount(tokens=10)])


def test_a_batch_of_an_earlier_process_is_waited_for_and_frees_what_it_did_not_use() -> None:
    budget = Budget(Caps(tokens=100), Amount(tokens=90))
    budget.resume(1)
    assert budget.reserve([Amount(tokens=20)]) == 0
    budget.free(Amount(tokens=90), Amount(tokens=30))
    assert budget.reserve([Amount(tokens=20)] * 5) == 3


def test_ten_cents_ten_times_are_one_dollar() -> None:
    rates = rates_of(URL, "m", TeacherChoice(base_url=URL, model="m", price=Price(input=0.1, output=0.3)))
    assert rates is not None
    caps = Caps.of(choices({}, budget_usd=1.0))
    budget = Budget(caps, Amount())
    million = Amount(rates.cost(1_000_000, 0, 0), 0, 1)
    assert budget.reserve([million] * 11) == 10


@pytest.mark.parametrize(
    ("caps", "rates", "limit", "most"),
    [
        (Caps(), None, None, Amount(0, 200, 1)),
        (Caps(), Rates(2, 1, 5), None, Amount(400, 200, 1)),
        (Caps(1, 1, 1), Rates(2, 1, 5), 50, Amount(200 * 2 + 4 * 50 * 5, 400, 1)),
        (Caps(requests=1), Rates(2, 1, 5), None, Amount(400, 200, 1)),
        (Caps(picodollars=1), Rates(0, 0, 0), None, Amount(0, 200, 1)),
        (Caps(picodollars=1), Rates(2, 1, 5), None, "what a reply may cost, and budget_usd is set"),
        (Caps(tokens=1), Rates(0, 0, 0), None, "how many tokens a reply may have, and budget_tokens is set"),
        (Caps(tokens=1), None, None, "how many tokens a reply may have, and budget_tokens is set"),
    ],
)
def test_the_most_that_a_request_uses_is_its_bytes_and_all_its_samples_at_their_limit(
    caps: Caps, rates: Rates | None, limit: int | None, most: Amount | str
) -> None:
    budget = Budget(caps, Amount())
    if isinstance(most, Amount):
        assert budget.most(rates, 200, 4, limit, step="solve", teacher="main") == most
        return
    with pytest.raises(UsageError, match=most) as caught:
        budget.most(rates, 200, 4, limit, step="solve", teacher="main")
    assert caught.value.hint == "teachers.main.request: {max_tokens: 4096}, or set solve.max_tokens"


@pytest.mark.parametrize(
    ("price", "rates", "in_batch"),
    [
        (Price(input=0.5, output=2), Rates(500_000, 500_000, 2_000_000), (250_000, 250_000, 1_000_000)),
        (Price(input=1e-7, output=0), Rates(1, 1, 0), (1, 1, 0)),
        (Price(input=1, output=3, batch_share=0.25), Rates(10**6, 10**6, 3 * 10**6, 0.25), (250_000, 250_000, 750_000)),
    ],
)
def test_prices_are_whole_picodollars_a_token_rounded_up(
    price: Price, rates: Rates, in_batch: tuple[int, int, int]
) -> None:
    found = rates_of(URL, "m", TeacherChoice(base_url=URL, model="m", price=price))
    assert found == rates
    batch = found.batch()
    assert (batch.prompt, batch.cached, batch.written) == in_batch


def test_a_listed_price_is_found_by_address_and_model_with_its_cached_rate() -> None:
    assert rates_of("https://api.openai.com/v1", "gpt-4o-mini", None) == Rates(150_000, 75_000, 600_000)
    assert rates_of(URL, "no-such-model", None) is None


PROMPT, WRITTEN, BYTES, LIMIT = 10, 20, 100, 50
TOLD = PROMPT + WRITTEN
WORST = BYTES + 2 * LIMIT


@pytest.mark.parametrize(
    ("kind", "usage", "in_batch", "tokens", "picodollars"),
    [
        ("reply", Usage(PROMPT, 0, WRITTEN), False, TOLD, PROMPT * 10 + WRITTEN * 100),
        ("reply", Usage(PROMPT, 4, WRITTEN), False, TOLD, PROMPT * 10 + WRITTEN * 100),
        ("reply", Usage(PROMPT, 0, WRITTEN), True, TOLD, (PROMPT * 10 + WRITTEN * 100) // 2),
        ("reply", Usage(), False, WORST, BYTES * 10 + 2 * LIMIT * 100),
        ("reply", Usage(PROMPT, 0, None), False, PROMPT + 2 * LIMIT, PROMPT * 10 + 2 * LIMIT * 100),
        ("lost", Usage(), False, WORST, BYTES * 10 + 2 * LIMIT * 100),
        ("unknown", Usage(), False, WORST, BYTES * 10 + 2 * LIMIT * 100),
        (None, Usage(), False, WORST, BYTES * 10 + 2 * LIMIT * 100),
        (None, Usage(), True, WORST, (BYTES * 10 + 2 * LIMIT * 100) // 2),
        ("failed", Usage(), False, 0, 0),
        ("refused", Usage(), False, 0, 0),
    ],
)
def test_what_a_run_used_is_what_was_told_and_else_the_most(
    tmp_path: Path, kind: Any, usage: Usage, in_batch: bool, tokens: int, picodollars: int
) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        write(ledger, kind, usage, batch=1 if in_batch else None)
        assert books(ledger).taken(Caps(picodollars=1)) == Amount(picodollars, tokens, 1)


def test_what_is_settled_counts_as_a_request_and_as_nothing_else(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        write(ledger, "lost", Usage())
        write(ledger, None, Usage())  # its process died
        write(ledger, None, Usage(), batch=1)  # under way
        write(ledger, "reply", Usage(PROMPT, 0, WRITTEN))
        write(ledger, "lost", Usage(), run="other")
        (released,) = release(ledger, "one")
        assert (released.requests, released.tokens) == (2, 2 * WORST)
        assert release(ledger, "one") == []
        assert books(ledger).taken(Caps()) == Amount(
            (PROMPT + BYTES // 2) * 10 + (WRITTEN + LIMIT) * 100, TOLD + WORST, 4
        )
        (totals,) = books(ledger).totals().values()
        assert (totals.released, totals.maybe_billed, totals.lost, totals.waiting) == (2, 0, 0, 1)
        assert len(release(ledger, None)) == 1


def test_maybe_billed_cut_and_asked_again_are_told_apart(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        write(ledger, "reply", Usage(PROMPT, 0, WRITTEN), ended=False)
        write(ledger, "reply", Usage(PROMPT, 0, 3 * WRITTEN))  # the same keys with a higher limit
        write(ledger, "lost", Usage())
        write(ledger, "unknown", Usage())
        write(ledger, "failed", Usage())
        (totals,) = books(ledger).totals().values()
        found = books(ledger).maybe_billed()
    dollar = 1 / PICODOLLARS
    first, again = (PROMPT * 10 + WRITTEN * 100) * dollar, (PROMPT * 10 + 3 * WRITTEN * 100) * dollar
    worst = (BYTES * 10 + 2 * LIMIT * 100) * dollar
    assert (totals.requests, totals.samples, totals.failed) == (5, 4, 1)
    assert (totals.cut, totals.cut_usd) == (2, pytest.approx(first))
    assert (totals.again, totals.again_usd) == (2, pytest.approx(again))
    assert totals.cost_usd == pytest.approx(first + again)
    assert (totals.lost, totals.maybe_billed, totals.maybe_usd) == (1, 1, pytest.approx(2 * worst))
    assert totals.maybe_tokens == 2 * WORST
    assert found == Amount(2 * (BYTES * 10 + 2 * LIMIT * 100), 2 * WORST, 2)
    assert totals.untold_usd == pytest.approx(2 * worst)


def test_what_was_in_flight_may_have_been_billed_once_nobody_asks(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        write(ledger, None, Usage())
        write(ledger, None, Usage(), batch=1)  # its provider will tell
        (asking,) = books(ledger).totals().values()
        (idle,) = books(ledger).totals(is_idle=True).values()
    assert (asking.maybe_billed, asking.waiting, asking.maybe_tokens) == (0, 2, 0)
    assert (idle.maybe_billed, idle.waiting, idle.maybe_tokens) == (1, 1, WORST)
    assert idle.untold_usd == asking.untold_usd


def test_a_budget_in_usd_refuses_a_run_that_asked_somebody_of_unknown_price(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        write(ledger, "reply", Usage(PROMPT, 0, WRITTEN))
        nobody = Books(ledger, "one", {})
        assert nobody.taken(Caps(tokens=5)) == Amount(0, TOLD, 1)
        with pytest.raises(UsageError, match="run 'one' asked m at http://teacher/v1, nobody knows what it costs"):
            nobody.taken(Caps(picodollars=5))


@pytest.mark.parametrize(
    ("caps", "told"),
    [
        ({"budget_usd": 500.0}, r"the budget of 500\.00 USD is reached"),
        ({"budget_tokens": 900}, "the budget of 900 tokens is reached"),
        ({"budget_requests": 5}, "the budget of 5 requests is reached: 5 are sent"),
    ],
)
def test_no_cap_is_passed_restarts_included(
    tmp_path: Path, teacher: FakeTeacher, caps: dict[str, Any], told: str
) -> None:
    teacher.reset()
    price = {"input": 0, "output": 1_000_000}
    for _ in range(2):
        with pytest.raises(BudgetError, match=told):
            ask(tmp_path, teacher.base_url, {"price": price}, caps)
        used = truth(teacher, Rates(0, 0, DOLLAR))
        assert within(used, Caps.of(choices({}, **caps)))
        assert used.requests >= 4
    ask(tmp_path, teacher.base_url, {"price": price}, {name: 100 * cap for name, cap in caps.items()})
    assert truth(teacher, Rates(0, 0, 0)).requests == len(QUESTIONS)


def test_attempts_that_failed_count_as_requests_and_cost_nothing(tmp_path: Path, teacher: FakeTeacher) -> None:
    teacher.reset()
    teacher.behave(fail_first=3)
    try:
        with pytest.raises(BudgetError, match="the budget of 6 requests is reached"):
            ask(tmp_path, teacher.base_url, {"concurrency": 1}, {"budget_requests": 6})
    finally:
        teacher.behave(**asdict(Behaviour()))
    assert [seen.status for seen in teacher.requests()].count(200) == 3
    assert teacher.count() == 6


@pytest.mark.long
def test_at_the_cap_a_student_can_be_made_of_what_is_there_and_a_raised_cap_goes_on(
    tmp_path: Path, teacher: FakeTeacher
) -> None:
    teacher.reset()
    project = Project(tmp_path, teacher.base_url, problems=12, budget_requests=7)
    stopped = project.run_all("--until", "assemble", expect=1).stderr
    assert "error: the budget of 7 requests is reached: 7 are sent" in stopped
    assert "--limit 7 --set evaluate.teacher=null" in stopped
    project.run_all("--until", "assemble", "--limit", "7", "--set", "evaluate.teacher=null")
    assert teacher.count() == 7
    assert len(project.rows("load")) == 7
    assert project.rows("assemble")
    project.choices["budget_requests"] = 12
    project.save()
    project.run_all("--until", "assemble")
    assert teacher.count() == 12
    assert len(project.rows("load")) == 12


def test_a_step_over_held_out_problems_is_left_out_at_the_cap(tmp_path: Path) -> None:
    from pipeline.recipe import steps
    from pipeline.rows import Problem
    from pipeline.way_on import with_way_on

    made = steps(choices({}))
    evaluate = next(step for step in made if step.name == "evaluate")
    (tmp_path / "load").mkdir()
    (tmp_path / "load" / "rows.jsonl").write_text(Problem(id="train-1", question="?").model_dump_json() + "\n")
    error = BudgetError("reached", "raise it")
    error.lacking = Problem(id="eval-1", question="?")
    found = with_way_on(error, evaluate, made, tmp_path)
    assert found.hint == "raise it; a student of what is there takes the same command with --set evaluate.teacher=null"
    solve = next(step for step in made if step.name == "solve")
    error.lacking = Problem(id="train-1", question="?")
    assert with_way_on(error, solve, made, tmp_path) is error  # not one problem is whole


@pytest.mark.long
def test_no_cap_is_passed_in_a_hundred_random_runs_with_kills(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.test_budget", "openai", "pipeline.teacher.asking"])
    kills = ended_by_cap = 0
    with FakeTeacher() as teacher:
        for number in range(RUNS):
            teacher.reset()
            settings = drawn(draw)
            teacher.behave(**asdict(Behaviour(**settings["behaviour"])))
            arguments = (tmp_path / str(number), teacher.base_url, settings["choice"], settings["caps"])
            killed = 0
            for _ in range(draw.randrange(4)):
                process = processes.Process(target=ask_and_exit, args=(*arguments, settings["samples"]))
                process.start()
                process.join(draw.uniform(0.1, 0.6))
                process.kill()
                process.join()
                killed += process.exitcode == -9 and teacher.count() > 0
            process = processes.Process(target=ask_and_exit, args=(*arguments, settings["samples"]))
            process.start()
            process.join(60)
            assert process.exitcode in (0, BudgetError.exit_status), f"run {number}: {settings}"
            settle_down(teacher)
            price = settings["choice"]["price"]
            rates = rates_of(URL, "fake", TeacherChoice(base_url=URL, model="fake", price=Price(**price)))
            assert rates is not None
            used = truth(teacher, rates)
            caps = Caps.of(choices({}, **settings["caps"]))
            assert within(used, caps), f"run {number}: {used} of {caps}: {settings}"
            kills += killed
            ended_by_cap += process.exitcode != 0
    print(f"{kills} kills met unfinished asking; {ended_by_cap} of {RUNS} runs ended at their cap")
    assert kills >= RUNS // 2
    assert RUNS // 4 <= ended_by_cap < RUNS


QUESTIONS = [f"What is {number} + 3 - 2?" for number in range(12)]


def choices(choice: dict[str, Any], **caps: Any) -> Choices:
    """A user's choices with these caps."""
    return Choices.model_validate(
        {
            "recipe": "r1-distill",
            "data": {"train": "none", "eval": "none"},
            "student": {"model": "none"},
            "teachers": {"main": {"base_url": URL, "model": "fake", **choice}},
            **caps,
        }
    )


def ask(folder: Path, base_url: str, choice: dict[str, Any], caps: dict[str, Any], samples: int = 4) -> None:
    """Ask all questions."""
    asked = Request(messages=(), seed=3, temperature=0.7, max_tokens=40)

    def conversation(question: str) -> Conversation[Sequence[Reply]]:
        messages = (Message(role="user", content=question),)
        return (yield asked.model_copy(update={"messages": messages}).samples(samples))

    chosen = choices({"base_url": base_url, "concurrency": 4, **choice}, **caps)
    with Teachers(chosen, folder, "one", folder / "logs", Silent(), clock=Clock(speed=100)) as teachers:
        teachers.begin("solve", Silent())
        for _ in teachers.ask("main", QUESTIONS, conversation):  # type: ignore[type-var]
            pass


def ask_and_exit(folder: Path, base_url: str, choice: dict[str, Any], caps: dict[str, Any], samples: int) -> None:
    """The same in a process of its own."""
    try:
        ask(folder, base_url, choice, caps, samples)
    except PipelineError as error:
        sys.exit(error.exit_status if isinstance(error, BudgetError) else f"{type(error).__name__}: {error}")


def drawn(draw: random.Random) -> dict[str, Any]:
    """One random way to ask under a cap."""
    samples = draw.choice([1, 2, 4, 8])
    price = {"input": draw.choice([0, 0.07, 1.1, 30]), "output": draw.choice([0.13, 2.7, 60, 1_000_000])}
    tokens = len(QUESTIONS) * (10 + samples * 20) * draw.uniform(0.3, 2)
    caps = draw.choice(
        [
            {"budget_usd": max(1e-9, round(tokens * price["output"] / 1e6, 9))},
            {"budget_usd": max(1e-9, round(tokens * price["output"] / 1e6, 9))},
            {"budget_tokens": round(tokens * 3)},
            {"budget_requests": draw.randrange(2, 20)},
        ]
    )
    broken = draw.choice([{}, {}, {"broken": "empty_choices", "broken_share": 0.2}])
    failing = draw.choice([{}, {"fail_first": 2, "fail_after": 3}])
    return {
        "samples": samples,
        "caps": caps,
        "choice": {"price": price, "concurrency": draw.choice([1, 2, 4, 12])},
        "behaviour": {"latency_seconds": draw.uniform(0.01, 0.1), "latency_spread": 0.9, **broken, **failing},
    }


def truth(teacher: FakeTeacher, rates: Rates) -> Amount:
    """What the provider would bill for the answers that it gave."""
    total = Amount()
    for seen in teacher.requests():
        used = Amount(requests=1)
        if seen.status == 200:
            usage = completion(seen.body, Behaviour(), "").body["usage"]
            prompt, written = usage["prompt_tokens"], usage["completion_tokens"]
            used = Amount(rates.cost(prompt, 0, written), prompt + written, 1)
        total += used
    return total


def within(used: Amount, caps: Caps) -> bool:
    """Whether no cap is passed, by nothing at all."""
    pairs = [(getattr(used, name), cap) for name, cap in asdict(caps).items() if cap is not None]
    assert pairs, "a cap"
    return all(amount <= cap for amount, cap in pairs)


def settle_down(teacher: FakeTeacher) -> None:
    """Return once the provider has answered those too that asked and were killed."""
    deadline = time.monotonic() + 5
    while any(seen.status is None for seen in teacher.requests()) and time.monotonic() < deadline:
        pass


def write(
    ledger: Ledger, kind: Any, usage: Usage, batch: int | None = None, run: str = "one", ended: bool = True
) -> None:
    """Write a request of two samples, and what came of it where something did."""

    async def job() -> None:
        with ledger.writing():
            keys = ("a", "b")
            number = await ledger.intend(Intent(run, "solve", URL, "m", 0, LIMIT, keys, b" " * BYTES, batch))
            if kind is not None:
                samples = (
                    [Sample(key, place, ended, LIMIT) for place, key in enumerate(keys)] if kind == "reply" else []
                )
                await ledger.settle(number, Outcome(kind, usage=usage), samples)

    asyncio.run(job())


def books(ledger: Ledger) -> Books:
    """At 10 picodollars a token of the prompt and 100 a token written."""
    choice = TeacherChoice(base_url=URL, model="m", price=Price(input=1e-5, output=1e-4))
    return Books(ledger, "one", {"main": Teacher("main", choice, Path())})
