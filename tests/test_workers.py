"""Checks by workers: what they say, what they may cost, and that nothing but an input's own limit is ever lost."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.answers import comparing, own, workers
from pipeline.answers.comparing import Asked, clusters, compare, compare_many
from pipeline.answers.worker import evaluate
from pipeline.answers.workers import Workers
from pipeline.errors import StageError, UsageError
from pipeline.rows import Problem

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1 << 20

HANGING = (
    r"9^{9^{9^{9^9}}}",
    r"10^{10^{9}}",
    "9!!!!!",
    r"\prod_{i=1}^{10000000} i",
    r"\binom{10^9}{5\cdot 10^8}",
    "3^{-10^{10}}",
    r"\sum_{i=1}^{10000000} i^{i}",
)
"""Math-Verify 0.9 works on each of these for longer than anybody waits, whatever its own time limit says."""
EXPLODING = (
    r"2^{2^{2^{2^{2^2}}}}",
    r"(10^{8})!",
    r"7^{7^{7^{7}}}",
    r"(x+y+z+w)^{2000}",
    "x^{12345}-x-2<0",
    r"10^{10^{8}}",
)


def problem(answer: str | None = None, choices: tuple[str, ...] = (), **more: object) -> Problem:
    return Problem.model_validate({"id": "p", "question": "?", "answer": answer, "choices": choices, **more})


def expression(found: str, gold: str) -> Asked:
    return Asked(found, problem(gold))


@pytest.fixture(autouse=True, scope="module")
def half_a_second() -> Iterator[None]:
    """Workers of these tests alone, with half a second of processor time for each check."""
    made: list[Workers] = []

    @cache
    def start(library: str, source: str, size: int, process: int) -> Workers:
        made.append(Workers(library, source, size))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "LIMIT_SECONDS", 0.5)
        patch.setattr(comparing, "_workers", start)
        patch.setattr(comparing, "_kept", OrderedDict())
        yield
    for one in made:
        one.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Starts workers that end with the test; those of a short function of one's own, unless told otherwise."""
    made: list[Workers] = []
    (tmp_path / "short.py").write_text("def same(text, answer):\n    return text == answer\n")
    short = own.placed(own.scorer_of("short.py:same", tmp_path), tmp_path)

    def start(library: str = "python", source: str = short, size: int = 1) -> Workers:
        made.append(Workers(library, source, size))
        return made[-1]

    yield start
    for one in made:
        one.close()


def is_answered(of: Workers) -> bool:
    return [outcome.result() for outcome in of.ask([("own", ["a", "a"]), ("own", ["a", "b"])])] == ["right", "wrong"]


def processes(of: Workers) -> list[int]:
    """The worker processes."""
    assert of._program is not None
    return children(of._program.process.pid)


def children(process: int) -> list[int]:
    """The processes that a process started, in whichever thread."""
    tasks = Path(f"/proc/{process}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def is_running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_ended(process: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < deadline, "the process goes on"
        time.sleep(0.02)


def memory(process: int, field: str) -> int:
    """Bytes of a process's memory, as `/proc/PID/status` names them; none where it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(f"{field}:"))


def script(program: str, *arguments: str, folder: Path = ROOT) -> str:
    """What a program prints that stands in a file, or comes on stdin."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=program,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("found", "gold", "outcome"),
    [
        ("2 + x", "x + 2", "right"),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", "right"),
        (r"(x-1)(x+1)", "x^2-1", "right"),
        (r"\{2, 1\}", r"\{1, 2\}", "right"),
        (r"\sin(x)", "sin(x)", "right"),
        ("x + 3", "x + 2", "wrong"),
        (r"\frac{1}{", "x + 2", "wrong"),
        ("x + 2", r"\frac{1}{", "unverifiable"),
    ],
)
def test_expressions_are_compared_by_what_they_mean(found: str, gold: str, outcome: str) -> None:
    assert compare(found, problem(gold)) == outcome


MIXED = [
    expression("2 + x", "x + 2"),
    expression("18", "18"),
    expression(HANGING[0], "x + 1"),
    *(expression(f"{number} + x", f"x + {min(number, 11)}") for number in range(7, 40)),
    expression(HANGING[3], "x + 1"),
    expression("x + 2", r"\frac{1}{"),
    Asked(None, problem("x + 1")),
]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_any_number_of_workers_says_the_same_in_the_same_order(size: int) -> None:
    sums = ["right" if number < 12 else "wrong" for number in range(7, 40)]
    wanted = ["right", "right", "unverifiable", *sums, "unverifiable", "unverifiable", "wrong"]
    comparing._kept.clear()
    assert list(compare_many(MIXED, workers=size)) == wanted


def test_what_hangs_math_verify_costs_itself_only() -> None:
    asked = [row for text in HANGING for row in (expression(text, "x + 1"), expression(f"{text[-1]} + y", "y + 1"))]
    assert list(compare_many(asked, workers=2))[::2] == ["unverifiable"] * len(HANGING)
    assert "unverifiable" not in list(compare_many(asked, workers=2))[1::2]


@pytest.mark.long
@pytest.mark.parametrize("text", HANGING)
def test_math_verify_itself_hangs_on_them(text: str) -> None:
    """Ten seconds of processor time are twice the limit that it sets itself."""
    program = f"""
import logging, math_verify, resource
logging.disable()
resource.setrlimit(resource.RLIMIT_CPU, (10, 20))
gold, found = (math_verify.parse(text, parsing_timeout=None) for text in ("$x+1$", {f"${text}$"!r}))
math_verify.verify(gold, found, timeout_seconds=None)
"""
    ended = subprocess.run([sys.executable, "-c", program], stderr=subprocess.DEVNULL).returncode
    assert ended == -signal.SIGXCPU


def test_what_explodes_takes_no_memory(started: Callable[..., Workers]) -> None:
    one = started("math_verify", "")
    one.ask([("equal", ["x", "x"])])[0].result()
    idle = max(memory(process, "VmRSS") for process in processes(one))
    outcomes = [one.ask([("equal", ["x + 1", text])])[0] for text in (*EXPLODING, *HANGING[:2])]
    peak = idle
    while wait(outcomes, timeout=0.01).not_done:
        peak = max(peak, *(memory(process, "VmHWM") for process in processes(one)), 0)
    assert {outcome.result() for outcome in outcomes} <= {"wrong", "unverifiable"}
    assert 20 * MEGABYTE < peak - idle < 100 * MEGABYTE


def test_many_checks_leave_a_worker_small(started: Callable[..., Workers]) -> None:
    one = started("math_verify", "")
    one.ask([("equal", ["x", "x"])])[0].result()
    (process,) = processes(one)
    before = memory(process, "VmRSS")
    for number in range(0, 60, 20):
        one.ask([("equal", [f"x^{n} + {n}", f"{n} + x^{n}"]) for n in range(number, number + 20)])[-1].result()
    assert processes(one) == [process]
    assert memory(process, "VmRSS") - before < 25 * MEGABYTE


def test_checks_work_in_threads_and_under_a_loop() -> None:
    """Math-Verify's own time limits are signals: in a thread each of its answers would be no."""
    pairs = [(f"{number} + x", f"x + {number % 2}") for number in range(4)]

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(compare, found, problem(gold)) for found, gold in pairs))

    assert asyncio.run(all_of_them()) == ["right", "right", "wrong", "wrong"]
    outcomes: list[str] = []
    thread = threading.Thread(target=lambda: outcomes.extend(compare_many(expression(*pair) for pair in pairs)))
    thread.start()
    thread.join()
    assert outcomes == ["right", "right", "wrong", "wrong"]


UNGUARDED = """
print("once")
from pipeline.answers import compare
from pipeline.rows import Problem
class Mine:
    pass
print(compare("2 + x", Problem(id="p", question="?", answer="x + 2")))
"""


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(UNGUARDED)
    assert script("", str(path)) == script(UNGUARDED, "-") == "once\nright\n"


def test_a_forked_process_asks_workers_of_its_own(tmp_path: Path) -> None:
    judge = own_judge(tmp_path, "def same(text, answer):\n    return text == answer\n", answer="a")
    program = f"""
import os, sys
from pipeline.answers import compare
from pipeline.rows import Problem
def is_same(text):
    return compare(text, Problem.model_validate_json({judge.model_dump_json()!r}))
print(is_same("a"), flush=True)
if (child := os.fork()) == 0:
    print(is_same("b"), is_same("a"))
    sys.exit()
os.waitpid(child, 0)
print(is_same("c"))
"""
    assert script("", "-c", program, folder=tmp_path) == "right\nwrong right\nwrong\n"


def test_nothing_is_loaded_before_it_is_needed() -> None:
    heavy = "{'sympy', 'math_verify', 'reasoning_gym', 'pebble', 'multiprocessing', 'torch'} & set(sys.modules)"
    program = f"""
import sys
from pipeline.answers import compare
from pipeline.rows import Problem
compare("18", Problem(id="p", question="?", answer="18.0"))
print({heavy})
compare("2 + x", Problem(id="p", question="?", answer="x + 2"))
print({heavy})
"""
    assert script("", "-c", program) == "set()\nset()\n"


def test_a_worker_that_was_killed_is_replaced(started: Callable[..., Workers]) -> None:
    one = started(size=2)
    for _ in range(2):
        assert is_answered(one)
        for process in processes(one):
            os.kill(process, signal.SIGKILL)
    assert is_answered(one)
    assert one._program is not None
    os.kill(one._program.process.pid, signal.SIGKILL)
    assert is_answered(one)


def test_workers_leave_an_interrupt_to_the_run(started: Callable[..., Workers]) -> None:
    one = started()
    assert is_answered(one)
    assert one._program is not None
    for process in [*processes(one), one._program.process.pid]:
        assert os.getpgid(process) != os.getpgid(0)
        os.kill(process, signal.SIGINT)
    before = processes(one)
    assert is_answered(one)
    assert processes(one) == before


def test_closed_workers_end_and_start_again(started: Callable[..., Workers]) -> None:
    one = started()
    assert is_answered(one)
    (process,) = processes(one)
    one.close()
    wait_until_ended(process)
    assert is_answered(one)


def test_hanging_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("def same(text, answer):\n    while text: pass\n    return True\n")
    program = f"""
from pipeline.answers.workers import Workers
one = Workers("python", {own.placed(own.scorer_of("slow.py:same", tmp_path), tmp_path)!r}, size=2)
one.ask([("own", ["", None])])[0].result()
one.ask([("own", ["for ever", None])])
print(one._program.process.pid, flush=True)
input()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pool = int(parent.stdout.readline())
        hanging = children(pool)
        assert len(hanging) == 2
        parent.kill()
    for process in [pool, *hanging]:
        wait_until_ended(process)


def test_a_library_that_does_not_load_is_told(started: Callable[..., Workers]) -> None:
    with pytest.raises(StageError, match="no_such_library does not load: ModuleNotFoundError") as met:
        started("no_such_library", "").ask([("equal", ["1", "1"])])[0].result()
    assert met.value.hint == "pip install no_such_library"


def test_equal_questions_are_asked_once_and_rows_are_read_as_they_are_needed(tmp_path: Path) -> None:
    body = "with open(__file__ + '.asked', 'a') as file:\n        print(text, file=file)\n    return True"
    judge = own_judge(tmp_path, f"def same(text, answer):\n    {body}\n")
    read: list[int] = []

    def asked() -> Iterator[Asked]:
        for number in range(10_000):
            read.append(number)
            yield Asked(None, judge, text=str(number // 1000))

    outcomes = compare_many(asked(), base=tmp_path)
    assert next(outcomes) == "right"
    assert len(read) <= comparing.BLOCK * comparing.AHEAD
    assert set(outcomes) == {"right"}
    assert sorted((tmp_path / "my_judge.py.asked").read_text().split()) == [str(number) for number in range(10)]


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["x + 1", "1 + x", None, "2", "2.0"], ["x + 1", "x + 1", None, "2", "2"]),
        ([r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}", r"\sqrt{1/2}"], 1),
        (["x + 1", "x + 2", "2 + x", "1 + x"], ["x + 1", "x + 2", "x + 2", "x + 1"]),
        ([], []),
        ([None], [None]),
    ],
)
def test_answers_that_mean_the_same_stand_in_one_cluster(
    answers: list[str | None], wanted: list[str | None] | int
) -> None:
    found = clusters(answers, problem("never looked at"))
    assert found == wanted if isinstance(wanted, list) else len(set(found)) == wanted


def own_judge(folder: Path, code: str, name: str = "same", **more: object) -> Problem:
    """A problem whose judge stands in a file of the folder."""
    (folder / "my_judge.py").write_text(code)
    return problem(scorer=own.scorer_of(f"my_judge.py:{name}", folder), **more)


BODIES = {
    "return answer in text": "right",
    "return text == answer": "wrong",
    "return None": "unverifiable",
    "return 'right'": "right",
    "os._exit(3)": "unverifiable",
    "print('noise'); print('noise', file=sys.__stdout__); return True": "right",
    "return len(b'.' * (20 << 20)) > 0": "right",
    "return len(b'.' * (60 << 20)) > 0": "unverifiable",
    "return len(b'.' * (100 << 20)) > 0": "unverifiable",
    "while True: pass": "unverifiable",
    "time.sleep(1000)": "unverifiable",
    "signal.pause()": "unverifiable",
}


def test_a_function_of_ones_own_judges_within_its_limits(tmp_path: Path) -> None:
    head = "import os, signal, sys, time\ndef same(text, answer):\n"
    cases = (f"    if text == '5: {number}':\n        {body}\n" for number, body in enumerate(BODIES))
    judge = own_judge(tmp_path, head + "".join(cases), answer="5")
    asked = [Asked(None, judge, text=f"5: {number}") for number in range(len(BODIES))]
    assert list(compare_many(asked, base=tmp_path, workers=2)) == list(BODIES.values())


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ("return 'yes'", "it returned 'yes', not True, False or None"),
        ("return []", "it returned [], not True, False or None"),
        ("raise OSError('no')", "OSError: no; it was given the reply '5 of 5' and the gold '5'"),
    ],
)
def test_a_function_of_ones_own_that_fails_ends_the_step_and_says_how(tmp_path: Path, body: str, fact: str) -> None:
    judge = own_judge(tmp_path, f"def same(text, answer):\n    {body}\n", answer="5")
    with pytest.raises(StageError) as met:
        compare(None, judge, text="5 of 5", base=tmp_path)
    assert fact in met.value.fact
    assert "my_judge.py:same failed" in met.value.fact


def test_a_function_of_ones_own_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("RIGHT = {'a'}\n")
    judge = own_judge(tmp_path, "import neighbour\ndef same(text, answer):\n    return text in neighbour.RIGHT\n")
    assert compare(None, judge, text="a", base=tmp_path) == "right"


@pytest.mark.parametrize(
    ("code", "fact"),
    [
        ("import no_such_module\ndef same(text, answer): return True", "No module named 'no_such_module'"),
        ("def same(text, answer): return True\nwhile True: pass", "what loads .*my_judge.py.* ended"),
    ],
)
def test_a_function_of_ones_own_that_does_not_load_is_told(
    tmp_path: Path, code: str, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOAD_SECONDS", 2)
    judge = own_judge(tmp_path, code)
    with pytest.raises(StageError, match=fact):
        compare("5", judge, base=tmp_path)


def test_an_edited_judge_is_not_asked(tmp_path: Path) -> None:
    judge = own_judge(tmp_path, "def same(text, answer): return True\n")
    (tmp_path / "my_judge.py").write_text("def same(text, answer): return False\n")
    with pytest.raises(StageError, match="was edited since its problems were loaded") as met:
        compare("5", judge, base=tmp_path)
    assert "--redo load" in (met.value.hint or "")
    assert compare("5", own_judge(tmp_path, "def same(text, answer): return False\n"), base=tmp_path) == "wrong"


@pytest.mark.parametrize(
    ("judge", "fact"),
    [
        ("none.py:same", "no file"),
        ("same", "no file"),
        ("mine.py:sam", "has no function 'sam'"),
        ("mine.py:", "has no function ''"),
        ("broken.py:same", "broken.py:1: not Python"),
        ("mine.py:one", "one takes 1 arguments"),
    ],
)
def test_a_judge_that_is_not_there_is_told(tmp_path: Path, judge: str, fact: str) -> None:
    (tmp_path / "mine.py").write_text(
        "raise SystemExit('it is never run')\ndef same(text, answer): return True\ndef one(text): return True\n"
    )
    (tmp_path / "broken.py").write_text("def same(:\n")
    with pytest.raises(UsageError, match=fact):
        own.scorer_of(judge, tmp_path)
    assert own.scorer_of("mine.py:same", tmp_path).startswith("python:mine.py:same@")


@pytest.mark.parametrize(
    ("found", "outcome"),
    [("(1 + 2) * 3", "right"), ("3 * (2 + 1)", "right"), ("9", "wrong"), ("1 + 2 + 3", "wrong"), ("", "wrong")],
)
def test_a_generated_problem_is_judged_by_its_own_scorer(found: str, outcome: str) -> None:
    countdown = problem("(1 + 2) * 3", scorer="reasoning_gym:countdown", metadata={"numbers": [1, 2, 3], "target": 9})
    assert compare(found, countdown) == outcome


@pytest.mark.parametrize(
    "attack",
    [
        "__import__('os').system('touch {path}')",
        "[__import__('os').system('touch {path}')]",
        "open('{path}', 'w')",
        "preview(x, output='svg', filename='{path}')",
    ],
)
@pytest.mark.parametrize("generator", ["countdown", "n_queens", "polynomial_multiplication"])
def test_an_answer_is_never_run_as_a_program(generator: str, attack: str, tmp_path: Path) -> None:
    path = tmp_path / "run"
    entry = {"numbers": [1], "target": 1, "valid_answers": ["Q"], "variables": ["x"]}
    compare(attack.format(path=path), problem("1", scorer=f"reasoning_gym:{generator}", metadata=entry))
    assert not path.exists()


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("1 + 2 * 3", 7),
        ("[[1, 0], [-1, 2]]", [[1, 0], [-1, 2]]),
        ("((0x3a + 0x1) << 0x2)", 236),
        ("('a', 'b')", ("a", "b")),
    ],
)
def test_arithmetic_and_lists_are_worked_out(code: str, value: object) -> None:
    assert evaluate(code) == value


@pytest.mark.parametrize(
    "code",
    ["open('x')", "().__class__", "(lambda: 1)()", "[x for x in [1]]", "exec(chr(105))", "x[0]", "f'{1}'", "eval('1')"],
)
def test_nothing_else_is_worked_out(code: str) -> None:
    import builtins

    with pytest.raises(ValueError, match="is not arithmetic"):
        evaluate(code, vars(builtins), {"x": [1]})


PIECES = [
    *"0123456789.,+-*/^=<>()[]{}|!&_$% xyzn\\\n\0é∞\ud800",
    r"\frac{", r"\sqrt{", "}{", "}", "^{", r"\infty", r"\cup", r"\{", r"\}", r"\begin{pmatrix}", r"\end{pmatrix}",
    r"\sum_{i=1}^{", r"\int_0^1", r"\lim_{x\to0}", r"\text{ cm}", r"\pi", r"\sin", r"\log", r"\binom{", "10^{9}", "dx",
]  # fmt: skip
ANSWERS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=25).map("".join))


def any_input_is_answered(pairs: list[tuple[str, str]], size: int) -> None:
    said = Counter(compare_many([expression(found, gold) for found, gold in pairs], workers=size))
    assert said.total() == len(pairs)
    assert set(said) <= {"right", "wrong", "unverifiable"}


PAIRS = st.lists(st.tuples(ANSWERS, ANSWERS), min_size=20, max_size=20)
AT_LEISURE = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)


@settings(AT_LEISURE, max_examples=15)
@given(PAIRS)
def test_no_input_raises_or_hangs(pairs: list[tuple[str, str]]) -> None:
    any_input_is_answered(pairs, size=2)


@pytest.mark.long
@settings(AT_LEISURE, max_examples=300)
@given(PAIRS)
def test_none_of_many_inputs_raises_or_hangs(pairs: list[tuple[str, str]]) -> None:
    any_input_is_answered(pairs, size=2)
