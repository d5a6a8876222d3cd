"""Run Python programs that a model wrote, and see whether they pass their tests; never outside bubblewrap.

A program runs as nobody in namespaces of its own: no network, no other process, no environment, no file but the
interpreter and its standard library, read-only, and an empty `/tmp`, in memory, that ends with it. `/proc` is not there
at all. A filter (`seccomp.py`) lets it start no process, so the kernel's limits of one process bind the whole.

What a program prints cannot make it pass: what its answers should be is never inside its sandbox. What it prints is
compared here, what its functions return in a second sandbox where it does not run (`statements.py`).
"""

import functools
import json
import marshal
import os
import select
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from pipeline.answers.sandbox import inside
from pipeline.answers.sandbox.seccomp import ARCHITECTURES, seccomp_filter
from pipeline.answers.sandbox.statements import cut
from pipeline.errors import StageError
from pipeline.rows import InputOutput, Outcome

FACT = "programs that a model wrote are run in a sandbox or not at all"
INSTALL = "apt-get install bubblewrap"
CONTAINER_FLAGS = "--security-opt seccomp=unconfined --security-opt apparmor=unconfined"
"""Of docker run and podman run. Docker's seccomp profile forbids namespaces, its AppArmor profile mounts."""
ALLOW = "sysctl -w user.max_user_namespaces=15000; on Ubuntu 24.04 also kernel.apparmor_restrict_unprivileged_userns=0"
OPEN_FILES = 64
STACK_BYTES = 64 << 20
"""More than most shells give: a right program may call itself deeply."""


@dataclass(frozen=True)
class Limits:
    """What one run of a program may use; a program that wants more has not passed."""

    cpu_seconds: int = 10
    """Of all threads together."""
    wall_seconds: float = 30
    """For a program that waits; well above `cpu_seconds`, so that a busy machine changes no outcome."""
    memory_bytes: int = 1 << 30
    """Of address space."""
    disk_bytes: int = 64 << 20
    """In `/tmp`, which lies in memory, in addition to `memory_bytes`."""
    output_bytes: int = 4 << 20
    """On standard output, or in the values that tests ask for."""
    threads: int = 64
    """Of its one process. The kernel counts none of root's: as root only memory bounds them."""


class _Ended(NamedTuple):
    """How a run ended."""

    status: int | None
    """The program's exit status; None where it was killed at a limit of time or output."""
    output: bytes


def run_tests(code: str, tests: Sequence[str | InputOutput], limits: Limits = Limits()) -> Outcome:
    """Whether a program passes all its tests; raises StageError where there is no sandbox to run it in.

    Args:
        code: the program, in Python.
        tests: what it must print for what it is given, each in a run of its own; statements that run after it, all in
            one run. An empty sequence is unverifiable, as are statements that are no Python.
        limits: of each run.
    """
    if not tests:
        return "unverifiable"
    require_sandbox()
    statements = [test for test in tests if isinstance(test, str)]
    if not all(_prints(code, test, limits) for test in tests if isinstance(test, InputOutput)):
        return "wrong"
    return _answers(code, statements, limits) if statements else "right"


@functools.cache
def require_sandbox() -> None:
    """Raise StageError, with the way on, where programs cannot be run; tried once in a process."""
    ended = _run({"manner": "run", "program": "print('it works')"}, Limits())
    if ended.output != b"it works\n":
        raise _broken(f"it printed {ended.output[:100]!r}")


def _prints(code: str, test: InputOutput, limits: Limits) -> bool:
    """Whether a program ends well, having printed what is wanted."""
    ended = _run({"manner": "run", "program": code}, limits, test.input)
    return ended.status == 0 and _lines(ended.output.decode(errors="replace")) == _lines(test.output)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _answers(code: str, statements: Sequence[str], limits: Limits) -> Outcome:
    """Whether a program's names come to what the statements assert."""
    halves = cut(statements)
    if halves is None:
        return "unverifiable"
    claimed = _run({"manner": "claim", "program": code, "statements": halves.statements}, limits)
    *claims, last = claimed.output.decode(errors="replace").splitlines() or [""]
    if claimed.status is None or last != inside.DONE:
        return "wrong"
    if not halves.checks:
        return "right"
    job = {"manner": "compare", "imports": halves.imports, "checks": halves.checks}
    try:
        judged = _run(job | {"claims": json.loads(f"[{','.join(claims)}]")}, limits)
    except (ValueError, RecursionError):  # no claims, or nested without end
        return "wrong"
    outcomes: dict[bytes, Outcome] = {b"right": "right", b"wrong": "wrong"}
    return outcomes.get(judged.output, "unverifiable")


def _run(job: dict[str, Any], limits: Limits, given: str = "") -> _Ended:
    """Do a job of `inside.py` in a sandbox of its own."""
    job = job | {"limits": _kernel_limits(limits)}
    with ExitStack() as stack:
        contents = (marshal.dumps(job), given.encode(errors="replace"), seccomp_filter(_machine()))
        files = [stack.enter_context(_in_memory(content)).fileno() for content in contents]
        process = stack.enter_context(
            subprocess.Popen(
                _command(files, limits.disk_bytes),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # bubblewrap's own; a program's goes nowhere
                pass_fds=files,
                env={"PYTHONHASHSEED": "0"},  # sets come in the same order each time
                start_new_session=True,  # Ctrl-C is for the pipeline: a program that it killed would count as wrong
            )
        )
        stack.callback(process.communicate)  # until nobody is left to print
        stack.callback(process.kill)
        assert process.stdout is not None
        output, whole = _read(process.stdout, limits)
        begun = f"{inside.BEGUN}\n".encode()
        if not output.startswith(begun):
            raise _broken(output.decode(errors="replace").strip()[-300:] or "it did not come up")
        return _Ended(process.wait() if whole else None, output.removeprefix(begun))


def _kernel_limits(limits: Limits) -> dict[str, int]:
    return {
        "RLIMIT_CPU": limits.cpu_seconds,
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_FSIZE": limits.disk_bytes,
        "RLIMIT_NPROC": limits.threads + 1,  # bubblewrap's own process in there
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_STACK": STACK_BYTES,
        "RLIMIT_CORE": 0,
    }


def _in_memory(content: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("sandbox"), "w+b", buffering=0)
    file.write(content)
    file.seek(0)
    return file


def _read(pipe: IO[bytes], limits: Limits) -> tuple[bytes, bool]:
    """What comes until the end or a limit, and whether that was the end, which comes when bubblewrap is gone."""
    deadline = time.monotonic() + limits.wall_seconds
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    output = bytearray()
    while len(output) <= limits.output_bytes and poll.poll(max(0, deadline - time.monotonic()) * 1000):
        chunk = os.read(pipe.fileno(), 1 << 16)
        if not chunk:
            return bytes(output), True
        output += chunk
    return bytes(output), False


def _command(files: Sequence[int], disk_bytes: int) -> list[str]:
    """The command line; the files are open: the job, what the program is given, the filter."""
    job, given, seccomp = map(str, files)
    return [
        *_bubblewrap(),
        *("--ro-bind-data", job, "/job", "--ro-bind-data", given, "/dev/stdin", "--seccomp", seccomp),
        *("--size", str(disk_bytes), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"),
        *(_interpreter(), "-s", "-S", "-P", "-B", "-X", "utf8", "/inside.py"),
    ]


@functools.cache
def _bubblewrap() -> tuple[str, ...]:
    """The part of the command line that is the same for all runs."""
    program = shutil.which("bwrap")
    if program is None:
        hint = f"{INSTALL}; the container has to run with {CONTAINER_FLAGS}" if _in_container() else INSTALL
        raise StageError(f"{FACT}, and bubblewrap (bwrap) is not installed", hint)
    base = Path(sys.base_prefix)
    stdlib = Path(sysconfig.get_path("stdlib"))
    packages = [stdlib / "site-packages", stdlib / "dist-packages", base / "lib/python3/dist-packages"]
    return (
        program,
        *("--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *(part for path in ("/usr/lib", "/usr/lib64", "/etc/ld.so.cache") for part in ("--ro-bind-try", path, path)),
        *(part for path in ("/lib", "/lib64") for part in _linked(Path(path))),
        *(part for path in (base / "lib", base / "lib64") for part in ("--ro-bind-try", str(path), str(path))),
        *("--ro-bind", _interpreter(), _interpreter(), "--ro-bind", inside.__file__, "/inside.py"),
        *(part for path in packages if path.is_dir() for part in ("--tmpfs", str(path), "--remount-ro", str(path))),
        *(part for path in ("/dev/null", "/dev/urandom") for part in ("--dev-bind", path, path)),
    )


def _interpreter() -> str:
    """Of this process, behind its virtual environment."""
    return str((Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}").resolve())


def _linked(path: Path) -> tuple[str, ...]:
    """A folder of the system that is a link in most of them."""
    if path.is_symlink():
        return "--symlink", str(path.readlink()), str(path)
    return "--ro-bind-try", str(path), str(path)


def _machine() -> str:
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise StageError(f"{FACT}, which is known for {' and '.join(ARCHITECTURES)}, and this machine is {machine}")
    return machine


def _broken(said: str) -> StageError:
    """What to raise where bubblewrap is there and does not do what it should."""
    if "Unknown option" in said:
        hint = f"bubblewrap 0.8 or newer is needed, as in Debian 12 and Ubuntu 24.04: {INSTALL}"
    elif _in_container():
        hint = f"start this container with {CONTAINER_FLAGS}; if that is not enough, on its host: {ALLOW}"
    else:
        hint = f"allow user namespaces: {ALLOW}"
    return StageError(f"{FACT}, and bubblewrap does not work here: {said}", hint)


def _in_container() -> bool:
    """Docker and Podman leave these files, Kubernetes this variable."""
    left = any(Path(path).exists() for path in ("/.dockerenv", "/run/.containerenv"))
    return left or "KUBERNETES_SERVICE_HOST" in os.environ
