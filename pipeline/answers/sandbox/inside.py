"""What runs inside the sandbox: a program, a program with statements after it, or the comparison of what they came to.

This file alone is seen there, with the standard library and nothing else of ours. It finds a job in `/job`:

    {"manner": "run",     "program": "print(2 + 2)", "limits": {...}}
    {"manner": "claim",   "program": "def f(x): ...", "statements": ["_claimed_(0, (f(2),))"], "limits": {...}}
    {"manner": "compare", "checks": ["assert _claimed_[0] == 4"], "claims": [[0, [{"int": "4"}]]], "imports": [], ...}

`run` reads what it is given and prints what it likes. `claim` prints only values that the program's names came to; it
never learns what they should be. `compare` knows that and never runs the program. See `statements.py`.

Most of a run's time is Python's start: json, typing and pathlib, each a good part of that, are not imported.
"""

from __future__ import annotations

import marshal
import os
import resource
import site
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BEGUN = "begun"
"""The first line of output, before anything that is not ours has run; without it the sandbox did not come up."""
DONE = '"done"'
"""The last claim: all statements ran."""
CLAIMED = "_claimed_"
"""In statements the function that claims values; in checks those values."""
CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class NotPlainError(Exception):
    """A value that cannot be told from outside: no number, text, bytes or container of these."""


def main() -> None:
    """Do the job."""
    with open("/job", "rb") as file:  # noqa: PTH123
        job = marshal.load(file)
    limit(job["limits"])
    sys.set_int_max_str_digits(0)
    site.setquit()  # `exit` and `quit`
    os.write(1, f"{BEGUN}\n".encode())
    redirect(2, os.devnull, os.O_WRONLY)
    if job["manner"] == "run":
        run(job["program"])
    elif job["manner"] == "claim":
        claim(job["program"], job["statements"])
    else:
        os.write(1, compare(job["imports"], job["checks"], job["claims"]).encode())


def limit(limits: dict[str, int]) -> None:
    """Lower the limits of this process, which is the only one: it cannot start another, nor raise them again."""
    for name, wanted in limits.items():
        kind = getattr(resource, name)
        _, most = resource.getrlimit(kind)
        lowered = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(kind, (lowered, lowered))


def redirect(number: int, path: str, flags: int) -> None:
    """Make a standard stream lead to a file."""
    opened = os.open(path, flags)
    os.dup2(opened, number)
    os.close(opened)


def begin(program: str, name: str) -> dict[str, Any]:
    """Run a program as a module of this name; returns its names."""
    module = sys.modules[name] = type(sys)(name)
    exec(compile(program, "program.py", "exec"), module.__dict__)
    return module.__dict__


def run(program: str) -> None:
    """Run a program as its user would."""
    redirect(0, "/dev/stdin", os.O_RDONLY)
    begin(program, "__main__")


def claim(program: str, statements: list[str]) -> None:
    """Run a program and the statements after it, printing what they claim and nothing else."""
    out = os.dup(1)
    os.dup2(2, 1)

    def tell(record: str) -> None:
        data = f"{record}\n".encode()
        while data:
            data = data[os.write(out, data) :]

    def claimed(number: int, values: tuple[Any, ...]) -> None:
        tell(f"[{number}, [{', '.join(map(encode, values))}]]")

    names = begin(program, "answer")
    names[CLAIMED] = claimed
    for statement in statements:
        exec(compile(statement, "test.py", "exec"), names)
    tell(DONE)
    os._exit(0)  # threads that the program left behind are not waited for


def compare(imports: list[str], checks: list[str], claims: list[Any]) -> str:
    """The outcome: every check holds for what was claimed, and none was passed over."""
    names: dict[str, Any] = {}
    for statement in imports:
        exec(statement, names)
    missing, outcome = set(range(len(checks))), "right"
    for claim in claims:
        try:
            number, values = claim
            exec(checks[number], names | {CLAIMED: [decode(value) for value in values]})
            missing.discard(number)
        except NotPlainError:
            missing.discard(number)
            outcome = "unverifiable"
        except Exception:
            return "wrong"
    return "wrong" if missing else outcome


def encode(value: Any) -> str:
    """A value as JSON: only what it holds, so that an object which calls itself equal to all is equal to nothing."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return f'{{"int": "{int.__format__(value, "x")}"}}'
    if isinstance(value, float):
        return f'{{"float": "{float.hex(value)}"}}'
    if isinstance(value, complex):
        return f'{{"complex": ["{value.real.hex()}", "{value.imag.hex()}"]}}'
    if isinstance(value, str):
        return f'{{"str": "{value.encode("utf-8", "surrogatepass").hex()}"}}'
    if isinstance(value, bytes | bytearray):
        return f'{{"bytes": "{value.hex()}"}}'
    if isinstance(value, dict):
        return f'{{"dict": {encode(list(value.items()))}}}'
    for kind, container in CONTAINERS.items():
        if isinstance(value, container):
            return f'{{"{kind}": [{", ".join(map(encode, value))}]}}'
    return '{"unknown": []}'


def decode(value: Any) -> Any:
    """A value from its JSON."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "unknown":
        raise NotPlainError
    return READ[kind](held)


READ: dict[str, Callable[[Any], Any]] = {
    "int": lambda held: int(held, 16),
    "float": float.fromhex,
    "complex": lambda held: complex(*map(float.fromhex, held)),
    "str": lambda held: bytes.fromhex(held).decode("utf-8", "surrogatepass"),
    "bytes": bytes.fromhex,
    "dict": lambda held: dict(decode(held)),
} | {kind: lambda held, container=container: container(map(decode, held)) for kind, container in CONTAINERS.items()}


if __name__ == "__main__":
    main()
