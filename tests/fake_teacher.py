"""A teacher that is a real HTTP server in a process of its own: OpenAI-compatible, deterministic, bad on order.

    from fake_teacher import FakeTeacher

    with FakeTeacher(fail_first=2, fail_status=429, retry_after="0") as teacher:
        teacher.base_url                 # http://127.0.0.1:PORT/v1
        teacher.requests()               # every request met, in order: list[Seen]
        teacher.behave(right_share=1.0)  # change any behaviour while it runs
        teacher.wait_for(5)              # returns once 5 requests were met
        teacher.stats()                  # what was refused, answered and in flight, in all and by the second
        teacher.reset()                  # forgets what it met

Choice i of a reply is a function of the messages and of seed + i, so a sample is the same whether it was asked alone
or as one of n. It works out the last sum in the last user message ("What is 4 + 3 - 2?"; + - * and whole numbers)
step by step and closes with "The answer is 5."; with probability 1 - `right_share`, drawn from the messages and
seed + i, the last step is wrong. It counts words as tokens, and cuts at `max_tokens` (finish_reason `length`).
A model whose name contains `think` shows its thoughts in `reasoning_content`, one with `inline` in `<think>` tags.

Run as a program, it serves until Ctrl-C, and `curl -X POST` of /stats, /requests or /behave beside its /v1 does what
the methods above do:

    python -m tests.fake_teacher --port 8000 --requests-per-minute 600 --latency-seconds 1
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # imported as `fake_teacher` too, and run by its path

from tests.provider.behaviour import Behaviour, add_options
from tests.provider.server import serve


@dataclass(frozen=True)
class Seen:
    """One request as the server met it."""

    digest: str
    """SHA-256 of the body, hex."""
    body: dict[str, Any]
    """Empty where bodies are not kept."""
    n: int
    seed: int | None
    at: float
    """Unix time."""
    status: int | None
    """What was answered; None while it waits, and for an answer that never is whole."""
    authorization: str | None


class FakeTeacher:
    """The server, started at `with` and gone after it."""

    def __init__(self, **behaviour: Any) -> None:
        self._first = asdict(Behaviour(**behaviour))

    def __enter__(self) -> "FakeTeacher":
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        self.root = self.base_url.removesuffix("/v1")
        self.behave(**self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server, as if its machine were gone."""
        self._process.kill()
        self._process.communicate()

    def behave(self, **behaviour: Any) -> None:
        """Change what the server does from now on."""
        unknown = behaviour.keys() - {field.name for field in fields(Behaviour)}
        assert not unknown, f"no behaviour {unknown}"
        Behaviour(**behaviour)
        self._post("/behave", behaviour)

    def requests(self) -> list[Seen]:
        """Every request met since the start or the last `reset`, in order; those in batches are not among them."""
        return [Seen(**seen) for seen in self._post("/requests", {})]

    def count(self) -> int:
        """How many requests were met."""
        return int(self.stats()["requests"])

    def samples(self) -> int:
        """How many samples were given: the sum of n over the requests answered 200."""
        return int(self.stats()["samples"])

    def stats(self) -> dict[str, Any]:
        """Counts of these requests.

        `requests` met, `samples` and `tokens` given, `statuses`, `most_in_flight`, Unix times `first_at` and `last_at`;
        and `seconds`, series by the provider's second from the first request on: requests `admitted`, `refused` (at
        the door, by a limit or a storm) and `answered`, tokens `charged` (to the bucket, if there is one) and given
        (`tokens`).
        """
        return dict(self._post("/stats", {}))

    def billed(self) -> Counter[str]:
        """How often each request, by the SHA-256 of its canonical JSON, was answered 200, online or in a batch."""
        return Counter(self._post("/billed", {}))

    def batches(self) -> list[dict[str, Any]]:
        """Every batch, the first one first: id, metadata, input_file_id, custom_ids, bodies, status, at (Unix time)."""
        return list(self._post("/batches", {}))

    def wait_for(self, count: int) -> None:
        """Return once so many requests were met."""
        self._post("/wait", {"count": count})

    def reset(self) -> None:
        """Forget the requests met, the files and the batches; buckets are full again."""
        self._post("/reset", {})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.root + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The text above as it stands, and every option's default."""


async def main() -> None:
    """Serve as the command line says."""
    name = "python -m tests.fake_teacher"
    parser = argparse.ArgumentParser(name, f"{name} [OPTIONS]", __doc__, formatter_class=Help)
    parser.add_argument("--port", type=int, default=0, help="where to listen on this machine; 0 takes a free port")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end then, so as not to outlive a parent")
    add_options(parser)
    options = vars(parser.parse_args())
    port, is_child = options.pop("port"), options.pop("until_stdin_closes")
    print(await serve(Behaviour(**options), port), flush=True)
    if is_child:
        await asyncio.to_thread(sys.stdin.read)
    else:
        await asyncio.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
