"""Programs that a model wrote pass by being right, and by nothing else; and none gets out of the sandbox.

Each escape is a real program that tries, and prints `held` where the system refused it as it should. One that fails for
any other reason, a mistake in it for one, prints nothing, so its test fails too.
"""

import getpass
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from textwrap import dedent, indent

import pytest

from pipeline.answers.sandbox import CONTAINER_FLAGS, INSTALL, Limits, require_sandbox, run_tests
from pipeline.answers.sandbox.statements import Halves, cut
from pipeline.errors import StageError
from pipeline.rows import InputOutput, Outcome

ROOT = Path(__file__).parents[1]
NOBODY = 65534
Run = Callable[..., Outcome]
CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if libc.syscall(*map(ctypes.c_long, arguments)) == -1:
        raise OSError(ctypes.get_errno(), "refused")
"""
"""For programs: a system call without Python's help, on x86_64."""


@pytest.fixture
def run() -> Run:
    """`run_tests`, where there is a sandbox."""
    try:
        require_sandbox()
    except StageError as error:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))
    return run_tests


def prints(output: str, given: str = "") -> list[InputOutput]:
    return [InputOutput(input=given, output=output)]


def attempt(program: str, refusal: str = "OSError") -> str:
    """A program that says whether what it tried was refused."""
    tried = indent(dedent(program).strip(), "    ")
    return f"try:\n{tried}\nexcept {refusal}:\n    print('held')\nelse:\n    print('escaped')"


# What is right and what is wrong


@pytest.mark.parametrize(
    ("program", "given", "output", "outcome"),
    [
        ("print(int(input()) * 2)", "21\n", "42\n", "right"),
        ("print(int(input()) * 2)", "21", "42", "right"),
        ("print(int(input()) * 2)", "21", "43", "wrong"),
        ("import sys\nprint(sum(map(int, sys.stdin)))", "1\n2\n3\n", "6", "right"),
        ("print(open(0).read()[::-1])", "äöü€😀", "😀€üöä", "right"),
        ("print(open('/dev/stdin').read())", "x", "x", "right"),
        ("print('a  \\nb \\n\\n')", "", "a\nb", "right"),
        ("print(' a')", "", "a", "wrong"),
        ("print('a\\n\\nb')", "", "a\nb", "wrong"),
        ("if __name__ == '__main__':\n    print(1)\n    exit()", "", "1", "right"),
        ("print(1)\nexit(1)", "", "1", "wrong"),
        ("print(1)\nraise ValueError", "", "1", "wrong"),
        ("print(1", "", "1", "wrong"),
        ("", "", "1", "wrong"),
        ("\0", "", "", "wrong"),
        ("print('\ud800')", "", "", "wrong"),
        ("import sys\nprint(1, file=sys.stderr)", "", "", "right"),
        ("print(len(str(10 ** 9999)))", "", "10000", "right"),
        ("print('\\n'.join(map(str, range(300000))))", "", "\n".join(map(str, range(300_000))), "right"),
        ("print('\\n'.join(map(str, range(300000))))", "", "\n".join(map(str, range(300_001))), "wrong"),
        ("open('note', 'w').write('1')\nprint(open('/tmp/note').read())", "", "1", "right"),
        (
            "import sys, threading\n"
            "def depth(n): return 0 if n == 0 else 1 + depth(n - 1)\n"
            "sys.setrecursionlimit(10 ** 6)\nthreading.stack_size(1 << 27)\n"
            "thread = threading.Thread(target=lambda: print(depth(50000)))\nthread.start()\nthread.join()",
            "",
            "50000",
            "right",
        ),
    ],
)
def test_a_program_must_print_what_is_wanted(run: Run, program: str, given: str, output: str, outcome: Outcome) -> None:
    assert run(program, prints(output, given)) == outcome


DOUBLE = "def f(x):\n    return x * 2"


@pytest.mark.parametrize(
    ("program", "tests", "outcome"),
    [
        (DOUBLE, ["assert f(2) == 4", "assert f('ä') == 'ää'"], "right"),
        (DOUBLE, ["assert f(2) == 4", "assert f(2) == 5"], "wrong"),
        (DOUBLE, ["import math\nassert math.isclose(f(0.15), 0.3, rel_tol=1e-9) and f(1) == 2"], "right"),
        (DOUBLE, ["assert abs(f(0.5) - 1.5) < 0.1"], "wrong"),
        (DOUBLE, ["assert f(10 ** 5000) == 2 * 10 ** 5000"], "right"),
        (DOUBLE, ["assert f(float('inf')) == float('inf')", "assert f(1j) == 2j", "assert f(b'a') == b'aa'"], "right"),
        (DOUBLE, ["assert f((1, [2, {3: {4}}])) == (1, [2, {3: {4}}], 1, [2, {3: {4}}])"], "right"),
        (DOUBLE, ["assert f((1,)) == [1, 1]"], "wrong"),
        (DOUBLE, ["assert f(f) == 4"], "wrong"),
        (DOUBLE, ["def check(g):\n    for n in range(3):\n        assert g(n) == n * 2\n", "check(f)"], "right"),
        (DOUBLE, ["def check(g):\n    assert g(1) == 2\n    assert g(2) == 5\n", "check(f)"], "wrong"),
        (DOUBLE, ["def check(g):\n    assert g(1) == 2\n"], "wrong"),  # nobody calls it
        (DOUBLE, ["assert all(f(n) == n + n for n in range(5))"], "right"),
        (DOUBLE, ["assert f(1) == 1 or f(1) == 3"], "wrong"),
        (DOUBLE, ["assert g(1) == 2"], "wrong"),
        (DOUBLE, ["assert f(1) =="], "unverifiable"),
        (DOUBLE, ["assert f(1) == no_such_name"], "wrong"),
        (DOUBLE, ["f(2)"], "right"),
        (DOUBLE, ["f(None)"], "wrong"),
        (DOUBLE, [], "unverifiable"),
        ("def f(x", ["assert f(2) == 4"], "wrong"),
        ("raise ValueError\n" + DOUBLE, ["assert f(2) == 4"], "wrong"),
        ("if __name__ == '__main__':\n    raise ValueError\n" + DOUBLE, ["assert f(2) == 4"], "right"),
        ("print('noise')\n" + DOUBLE, ["assert f(2) == 4"], "right"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\n" + DOUBLE,
            ["f(2)"],
            "right",
        ),
        ("def sum(a, b):\n    return a + b", ["assert sum(2, 3) == 5"], "right"),
        ("def sum(a, b):\n    return a - b", ["assert sum(2, 3) == 5"], "wrong"),
        ("def f(x):\n    x.sort()", ["numbers = [2, 1]\nf(numbers)\nassert numbers == [1, 2]"], "right"),
        ("def f(x):\n    raise KeyError", ["try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass"], "right"),
        ("def f(x):\n    return x", ["try:\n    f(1)\n    assert False\nexcept KeyError:\n    pass"], "wrong"),
        ("class A:\n    def g(self):\n        return {'a': None}", ["a = A()\nassert a.g()['a'] is None"], "right"),
        ("class A:\n    pass", ["assert A() == A()"], "unverifiable"),
        ("def f():\n    a = []\n    a.append(a)\n    return a", ["assert f() == []"], "wrong"),
        ("from collections import Counter", ["assert Counter('aab') == {'a': 2, 'b': 1}"], "right"),
    ],
)
def test_a_program_must_come_to_what_its_statements_assert(
    run: Run, program: str, tests: list[str], outcome: Outcome
) -> None:
    assert run(program, tests) == outcome


def test_statements_and_what_is_printed_must_both_be_right(run: Run) -> None:
    program = "print(int(input() or 0) * 2)\n" + DOUBLE
    assert run(program.replace("input()", "'4'"), [*prints("8"), "assert f(2) == 4"]) == "right"
    assert run(program.replace("input()", "'4'"), [*prints("8"), "assert f(2) == 5"]) == "wrong"
    assert run(program.replace("input()", "'4'"), [*prints("9"), "assert f(2) == 4"]) == "wrong"


@pytest.mark.parametrize(
    ("test", "statement", "checks"),
    [
        ("assert f(2) == 4, 'why'", "_claimed_(0, (f(2),))", ["_claimed_[0] == 4"]),
        ("assert 4 == f(2)", "_claimed_(0, (f(2),))", ["4 == _claimed_[0]"]),
        ("assert f(2)", "_claimed_(0, (f(2),))", ["_claimed_[0]"]),
        ("assert not f(2)", "_claimed_(0, (not f(2),))", ["_claimed_[0]"]),
        ("assert abs(f(2) - 4) < 1", "_claimed_(0, (f(2),))", ["abs(_claimed_[0] - 4) < 1"]),
        ("assert sorted(f(2)) == [4]", "_claimed_(0, (sorted(f(2)),))", ["_claimed_[0] == [4]"]),
        ("assert f(2) == g(2)", "_claimed_(0, (f(2), g(2)))", ["_claimed_[0] == _claimed_[1]"]),
        ("assert f(2) is g(2)", "_claimed_(0, (f(2) is g(2),))", ["_claimed_[0]"]),
        ("assert f(2) is None", "_claimed_(0, (f(2),))", ["_claimed_[0] is None"]),
        ("assert f(2) == [n for n in range(4)]", "_claimed_(0, (f(2),))", ["_claimed_[0] == [n for n in range(4)]"]),
        ("assert isinstance(f(2), int)", "_claimed_(0, (isinstance(f(2), int),))", ["_claimed_[0]"]),
        ("assert list(map(f, [2])) == [4]", "_claimed_(0, (list(map(f, [2])),))", ["_claimed_[0] == [4]"]),
        ("assert max(*f(2), 3) == 4", "_claimed_(0, (max(*f(2), 3),))", ["_claimed_[0] == 4"]),
        ("assert (n := f(2)) == 4", "assert (n := f(2)) == 4", []),
        ("assert True", "assert True", []),
        ("max = f(2)\nassert max == 4", "max = f(2)\n_claimed_(0, (max,))", ["_claimed_[0] == 4"]),
    ],
)
def test_a_statement_is_cut_in_what_is_asked_and_what_it_is_compared_with(
    test: str, statement: str, checks: list[str]
) -> None:
    assert cut([test]) == Halves([statement], [], [f"assert {check}" for check in checks])


@pytest.mark.parametrize("test", ["def", "\0", "(" * 500, "-" * 100_000 + "1", "x = '\ud800'", "\\"])
def test_statements_that_are_no_python_are_told(test: str) -> None:
    assert cut([test]) is None


# Limits

SMALL = Limits(cpu_seconds=1, wall_seconds=600, memory_bytes=256 << 20, disk_bytes=1 << 20, output_bytes=1 << 16)


@pytest.mark.parametrize(
    "program",
    [
        "import signal, threading\nsignal.signal(signal.SIGXCPU, lambda *_: None)\n"
        "for _ in range(2): threading.Thread(target=exec, args=('while True: pass',)).start()",
        "import os, sys\nwhile True: os.execv(sys.executable, [sys.executable, '-c', 'while True: pass'])",
        "print('x' * 100_000)",
        "while True: print('flood')",
        "bytearray(300 << 20)",
        "import mmap\nmmap.mmap(-1, 300 << 20)",
        "held = []\nwhile True: held.append(bytearray(1 << 20))",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "open('/tmp/x', 'wb').write(bytes(2 << 20))",
        "for n in range(99): open(f'/tmp/{n}', 'wb').write(bytes(100_000))",
        "for n in range(10 ** 9): open(f'/tmp/{n}', 'wb').close()",
        "held = [open('/dev/null') for _ in range(99)]",
    ],
)
def test_a_program_that_takes_more_than_its_limits_does_not_pass(run: Run, program: str) -> None:
    assert run(f"print('right')\n{program}", prints("right"), SMALL) == "wrong"


def test_output_is_read_up_to_its_limit(run: Run) -> None:
    lines = "x\n" * 40_000
    assert run("print('x\\n' * 40_000)", prints(lines)) == "right"
    assert run("print('x\\n' * 40_000)", prints(lines), SMALL) == "wrong"
    assert (
        run("def f():\n    return 'x' * 80_000", ["assert len(f()) == 80_000", "assert set(f()) == {'x'}"], SMALL)
        == "right"
    )
    assert run("def f():\n    return 'x' * 80_000", ["assert f() == 'x' * 80_000"], SMALL) == "wrong"


@pytest.mark.skipif(os.geteuid() == 0, reason="the kernel counts no thread of root's")
def test_a_program_has_no_more_threads_than_its_limit(run: Run) -> None:
    program = """
    import threading
    started, done = 0, threading.Event()
    try:
        while True:
            threading.Thread(target=done.wait).start()
            started += 1
    except RuntimeError:
        print(started)
    done.set()
    """
    assert run(dedent(program), prints("7"), Limits(threads=8)) == "right"


def test_a_program_that_waits_is_ended(run: Run) -> None:
    waiting = Limits(wall_seconds=0.5)
    assert run("import time\nprint(1, flush=True)\ntime.sleep(10 ** 9)", prints("1"), waiting) == "wrong"
    assert run("import time\ntime.sleep(10 ** 9)", ["assert True"], waiting) == "wrong"


def test_nothing_of_a_program_lives_on(run: Run) -> None:
    marked = Limits(cpu_seconds=4321, wall_seconds=0.5)
    program = """
    import os, signal, threading, time
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0) if os.getpgid(0) != os.getpid() else None
    threading.Thread(target=time.sleep, args=(10 ** 6,)).start()
    time.sleep(10 ** 6)
    """
    assert run(dedent(program), prints(""), marked) == "wrong"
    assert marked_processes(marked.cpu_seconds) == []


def test_nothing_of_a_program_outlives_a_pipeline_that_was_killed(run: Run) -> None:
    marked = Limits(cpu_seconds=4322, wall_seconds=600)
    script = "import sys\nfrom pipeline.answers.sandbox import Limits, run_tests\n"
    script += f"run_tests('while not print(end=str()): pass', ['assert True'], {marked!r})"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as pipeline:
        wait_until(lambda: bool(marked_processes(marked.cpu_seconds)))
        pipeline.kill()
    wait_until(lambda: not marked_processes(marked.cpu_seconds))


def marked_processes(cpu_seconds: int) -> list[str]:
    """Processes of this machine that have this limit of CPU time."""
    found = []
    for path in Path("/proc").glob("[0-9]*/limits"):
        try:
            limits = path.read_text(encoding="ascii")
        except OSError:
            continue
        if any(line.split()[3:4] == [str(cpu_seconds)] for line in limits.splitlines() if "cpu time" in line):
            found.append(path.parent.name)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline


# Escapes


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """What there is to reach out there, by name; looked at again when the program has ended."""
    secret = tmp_path / "secret"
    secret.write_text("untouched", encoding="utf-8")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0secret-{os.getpid()}")
        abstract.listen()
        yield {
            "secret": str(secret),
            "folder": str(tmp_path),
            "project": str(ROOT),
            "home": str(Path.home()),
            "user": getpass.getuser(),
            "packages": str(Path(pytest.__file__).parents[1]),
            "port": server.getsockname()[1],
            "abstract": f"secret-{os.getpid()}",
            "pid": os.getpid(),
            "python": os.path.realpath(sys.executable),
        }
        for listening in (server, abstract):
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert secret.read_text(encoding="utf-8") == "untouched"
    assert not (ROOT / "escaped").exists() and not Path("/tmp/escaped").exists()


ESCAPES = {
    "reach a server of this machine": "import socket\nsocket.create_connection(('127.0.0.1', {port}))",
    "reach the network": "import socket\nsocket.create_connection(('1.1.1.1', 443))",
    "send a datagram": "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))",
    "ask for a name": "import socket\nsocket.getaddrinfo('example.org', 443)",
    "open a raw socket": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "reach an abstract socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{abstract}')",
    "read a secret": "open({secret!r})",
    "write over a secret": "open({secret!r}, 'w')",
    "remove a secret": "import os\nos.remove({secret!r})",
    "write beside it": "open({folder!r} + '/escaped', 'w')",
    "write into the project": "open({project!r} + '/escaped', 'w')",
    "list the project": "import os\nos.listdir({project!r} + '/pipeline')",
    "read who has an account": "open('/etc/passwd')",
    "list a file of home": "import os\nos.listdir({home!r} + '/.ssh')",
    "write into home": "import os\nos.makedirs({home!r} + '/escaped')",
    "write into the root folder": "open('/escaped', 'w')",
    "write into the interpreter": "import os\nopen(os.__file__, 'a')",
    "write over the interpreter": "open({python!r}, 'r+b')",
    "follow a link of its own": "import os\nos.symlink({secret!r}, '/tmp/link')\nopen('/tmp/link')",
    "climb out": "import os\nos.chdir('/tmp')\nopen('../../..' + {secret!r})",
    "climb out of a chroot": "import os\nos.mkdir('/tmp/a')\nos.chroot('/tmp/a')\nos.chdir('../..')",
    "see processes": "import os\nos.listdir('/proc/{pid}')",
    "read memory": "open('/proc/self/mem', 'rb')",
    "read the environment of the first process": "open('/proc/1/environ', 'rb')",
    "see devices of the kernel": "import os\nos.listdir('/sys')",
    "signal us": "import os\nos.kill({pid}, 9)",
    "signal our group": "import os\nos.killpg({pid}, 9)",
    "fork": "import os\nos.fork()",
    "fork, in a thread": "import os\nfrom concurrent.futures import ThreadPoolExecutor\n"
    "ThreadPoolExecutor(1).submit(os.fork).result()",
    "start a program": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'pass'])",
    "spawn a program": "import os, sys\nos.posix_spawn(sys.executable, [sys.executable], {{}})",
    "use more processes": "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
    "run a shell": "import subprocess\nsubprocess.run('true', shell=True)",
    "be root": "import os\nos.setuid(0)",
    "be root in the group": "import os\nos.setgid(0)",
    "be nicer": "import os\nos.nice(-5)",
    "make a device": "import os, stat\nos.mknod('/tmp/disk', stat.S_IFBLK | 0o600, os.makedev(8, 0))",
    "open memory": "open('/dev/mem', 'rb')",
    "use memory that is shared by name": "open('/dev/shm/escaped', 'w')",
    "open a terminal": "open('/dev/tty')",
    "type into a terminal": "import fcntl, termios\nfcntl.ioctl(0, termios.TIOCSTI, b'x')",
    "open a terminal of its own": "import os\nos.openpty()",
    "write what it is given": "open('/dev/stdin', 'w')",
    "rename the machine": "import socket\nsocket.sethostname('escaped')",
    "set the clock": "import time\ntime.clock_settime(time.CLOCK_REALTIME, 0)",
}
SYSTEM_CALLS = {
    "clone": "call(56, 17, 0, 0, 0, 0)",
    "clone into a namespace": "call(56, 0x10000011, 0, 0, 0, 0)",
    "clone with vfork": "call(58)",
    "clone3": "call(435, ctypes.addressof(ctypes.create_string_buffer(64)), 64)",
    "the calls of x32": "call(0x40000000 + 57)",
    "unshare": "call(272, 0x10000000)",
    "setns": "call(308, 0, 0)",
    "mount": "call(165, 0, ctypes.addressof(ctypes.create_string_buffer(b'/tmp')), 0, 0x1000, 0)",
    "umount": "call(166, ctypes.addressof(ctypes.create_string_buffer(b'/')), 2)",
    "pivot_root": "call(155, 0, 0)",
    "ptrace": "call(101, 16, 1, 0, 0)",
    "process_vm_readv": "call(310, 1, 0, 0, 0, 0, 0)",
    "memfd_create": "call(319, ctypes.addressof(ctypes.create_string_buffer(b'x')), 0)",
    "shmget": "call(29, 0, 1 << 30, 0o1600)",
    "bpf": "call(321, 0, 0, 0)",
    "keyctl": "call(250, 0, -3, 1)",
    "io_uring_setup": "call(425, 1, ctypes.addressof(ctypes.create_string_buffer(256)))",
    "userfaultfd": "call(323, 0)",
    "perf_event_open": "call(298, 0, 0, -1, -1, 0)",
    "reboot": "call(169, 0xfee1dead, 672274793, 0)",
    "init_module": "call(175, 0, 0, 0)",
    "kexec_load": "call(246, 0, 0, 0, 0)",
    "open_by_handle_at": "call(304, -100, ctypes.addressof(ctypes.create_string_buffer(64)), 0)",
}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_program_can(run: Run, outside: dict[str, object], name: str) -> None:
    assert run(attempt(ESCAPES[name].format(**outside)), prints("held")) == "right"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system calls have other numbers on this machine")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_no_program_can_ask_the_kernel_for(run: Run, name: str) -> None:
    assert run(CALL + attempt(SYSTEM_CALLS[name]), prints("held")) == "right"


@pytest.mark.parametrize("name", ["pipeline", "pydantic", "pytest"])
def test_no_program_can_import_what_is_ours(run: Run, outside: dict[str, object], name: str) -> None:
    program = "import sys\nsys.path += [{project!r}, {packages!r}, '/']\n".format(**outside)
    assert run(program + attempt(f"import {name}", "ImportError"), prints("held")) == "right"


def test_a_program_sees_an_empty_world(run: Run, outside: dict[str, object]) -> None:
    program = """
    import os, socket
    def is_open(number):
        try:
            os.fstat(number)
        except OSError:
            return False
        return True
    print(set(os.environ) - {'LC_CTYPE'} - {'PWD'}, os.listdir('/tmp'), sorted(os.listdir('/dev')))
    print([number for number in range(1000) if is_open(number)], socket.gethostname(), os.getcwd())
    print(socket.if_nameindex(), os.getpid(), os.getuid(), os.getgid())
    """
    world = "{'PYTHONHASHSEED'} [] ['null', 'stdin', 'urandom']\n[0, 1, 2] sandbox /tmp\n[(1, 'lo')] 2 65534 65534"
    assert run(dedent(program), prints(world)) == "right"


def test_a_program_that_kills_all_it_can_kills_itself(run: Run) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        for target in ("-1", "0", "os.getppid()", "1", "os.getpid()"):
            for number in (9, 15):
                run(f"import os\nos.kill({target}, {number})", prints("never"))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == []
    assert run("print(1)", prints("1")) == "right"


def test_two_runs_share_nothing(run: Run) -> None:
    leave = "import os\nopen('/tmp/left', 'w').write('x')\nprint(os.listdir('/tmp'))"
    assert run(leave, [*prints("['left']"), *prints("['left']")]) == "right"
    assert run("import os\nprint(os.listdir('/tmp'))", prints("[]")) == "right"
    assert not Path("/tmp/left").exists()


def test_runs_at_the_same_time_do_not_meet(run: Run) -> None:
    outcomes: list[Outcome] = []
    meet = attempt("import os\nos.listdir('/proc')") + f"\n{DOUBLE}"
    threads = [threading.Thread(target=lambda: outcomes.append(run(meet, prints("held")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["right"] * 4


# Forgeries

SECRET = 918273645546372819
"""What a forger would have to say, and does not know."""
FORGERIES = {
    "end well": "import os\nos._exit(0)",
    "end well when it is called": "import sys\ndef f(): sys.exit(0)",
    "print that all is right": "print('right')\nprint('begun')\nprint('\"done\"')\ndef f(): return 0",
    "write that to every file": """
        import os
        for number in range(64):
            try:
                os.write(number, b'\\n[0, [{"int": "1"}]]\\n"done"\\nright\\n')
            except OSError:
                pass
        os._exit(0)
    """,
    "claim nothing but the end": """
        import os
        for number in range(3, 64):
            try:
                os.write(number, b'"done"\\n')
            except OSError:
                pass
        os._exit(0)
    """,
    "be equal to all": "class All:\n    def __eq__(self, other): return True\ndef f(): return All()",
    "be a number equal to all": "class All(int):\n    def __eq__(self, other): return True\ndef f(): return All(1)",
    "be a text equal to all": "class All(str):\n    def __eq__(self, other): return True\ndef f(): return All('1')",
    "hold what is equal to all": "class All:\n    def __eq__(self, o): return True\ndef f(): return [All()]",
    "change what raises": "import builtins\nclass AssertionError(BaseException): pass\n"
    "builtins.AssertionError = AssertionError\ndef f(): return 0",
    "change the harness": """
        import sys
        inside = sys.modules['__main__']
        inside.compare = lambda *_: 'right'
        inside.decode = inside.encode = lambda value: '{"int": "1"}'
        inside.begin.__globals__['main'] = lambda: None
        def f():
            return 0
    """,
    "claim by itself": "def f():\n    _claimed_(0, (1,))\n    return 0",
    "swallow what is claimed": "import threading, sys\ndef swallow(*_): pass\n"
    "threading.Thread(target=lambda: [globals().update(_claimed_=swallow) for _ in range(10 ** 5)]).start()\n"
    "def f(): return 0",
    "read it from the job": """
        def f():
            number, job = int('9182736455463728') * 100 + 19, open('/job', 'rb').read()
            return number if str(number).encode() in job else 0
    """,
    "read it from the frames": """
        import gc, sys
        def f():
            frame, held = sys._getframe(), []
            while frame:
                held += [repr(frame.f_locals), repr(frame.f_globals), repr(frame.f_code.co_consts)]
                frame = frame.f_back
            held += [repr(thing) for thing in gc.get_objects() if isinstance(thing, (str, tuple, list, dict))]
            number = int('9182736455463728') * 100 + 19
            return number if any(str(number) in text for text in held) else 0
    """,
    "trace the statement": """
        import sys
        def trace(frame, event, argument):
            frame.f_trace_opcodes = True
            return trace
        sys.settrace(trace)
        sys.excepthook = lambda *_: None
        def f():
            raise SystemExit(0)
    """,
    "leave it to the end": "import atexit, os\natexit.register(os._exit, 0)\ndef f(): raise SystemExit",
    "be another interpreter": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(\"right\")'])",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_no_program_passes_because_it_can(run: Run, name: str) -> None:
    assert run(dedent(FORGERIES[name]), [f"assert f() == {SECRET}"]) in ("wrong", "unverifiable")


@pytest.mark.parametrize("name", FORGERIES)
def test_no_program_passes_because_it_can_where_its_output_is_compared(run: Run, name: str) -> None:
    assert run(dedent(FORGERIES[name]) + "\nprint(f())", prints(str(SECRET))) == "wrong"


def test_the_forgeries_would_pass_if_they_knew(run: Run) -> None:
    assert run(f"def f():\n    return {SECRET}", [f"assert f() == {SECRET}"]) == "right"


# Where there is no sandbox


def said(environment: dict[str, str], wrapper: Sequence[str] = ()) -> str:
    """What a process with this environment says instead of running a program; a program that is run says so."""
    script = (
        "from pipeline.answers.sandbox import run_tests\n"
        "from pipeline.errors import StageError\n"
        "try:\n    print('ran', run_tests('open(\"ran\", \"w\")', ['assert True']))\n"
        "except StageError as error:\n    print(error.fact, error.hint, sep='\\n')"
    )
    environment = {"PYTHONPATH": ":".join([str(ROOT), *filter(None, sys.path)]), **environment}
    return subprocess.check_output([*wrapper, sys.executable, "-c", script], env=environment, text=True)


def test_without_bubblewrap_nothing_is_run_and_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    fact, hint = said({"PATH": str(tmp_path)}).splitlines()
    assert "bubblewrap (bwrap) is not installed" in fact and INSTALL in hint
    assert CONTAINER_FLAGS in said({"PATH": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    "message",
    [
        "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user "
        "namespaces. See <https://deb.li/bubblewrap> or <file:///usr/share/doc/bubblewrap/README.Debian.gz>.",
        "bwrap: Creating new namespace failed: Operation not permitted",
        "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
        "bwrap: Failed to make / slave: Permission denied",
        "",
    ],
)
def test_where_bubblewrap_fails_nothing_is_run_and_a_container_is_told_its_flags(tmp_path: Path, message: str) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(f"#!/bin/sh\necho '{message}' >&2\nexit 1\n", encoding="utf-8")
    fake.chmod(0o755)
    fact, hint = said({"PATH": str(tmp_path), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}).splitlines()
    assert message[-100:] in fact and "does not work here" in fact
    assert CONTAINER_FLAGS in hint


def test_where_the_system_allows_no_namespace_nothing_is_run(run: Run) -> None:
    shut = ["bwrap", "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--unshare-user", "--disable-userns"]
    fact, hint = said({"PATH": os.environ["PATH"]}, shut).splitlines()
    assert "Creating new namespace failed" in fact and "max_user_namespaces" in hint


def test_a_bubblewrap_that_only_pretends_is_not_believed(tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho begun\n", encoding="utf-8")
    fake.chmod(0o755)
    assert "does not work here: it printed" in said({"PATH": str(tmp_path)})


# As somebody else


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_all_of_this_holds_for_an_unprivileged_user_too(run: Run) -> None:
    here, system = os.path.realpath(sys.executable), f"/usr/bin/python3.{sys.version_info.minor}"
    able = [
        python for python in (here, system) if not as_nobody(python, "-c", "import pipeline.answers.sandbox, pytest")
    ]
    if not able:
        pytest.skip("nobody may not read this folder or run a Python of this version")
    this = str(Path(__file__).resolve())
    options = ["-q", "-p", "no:cacheprovider", "-m", "not long"]
    assert " passed" in as_nobody(able[0], "-m", "pytest", *options, this)


def as_nobody(*command: str) -> str:
    """What a command prints that an unprivileged user gives, or why it failed."""
    packages = Path(pytest.__file__).parents[1]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{packages}", "CI": "true"}
    try:
        return subprocess.run(
            [command[0], "-B", *command[1:]],
            user=NOBODY,
            group=NOBODY,
            extra_groups=(),
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        return f"failed: {error.stdout[-5000:].replace(' passed', '')}"
    except OSError as error:
        return str(error)
