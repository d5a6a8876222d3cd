"""The child process that serves a GGUF file with llama.cpp on a free loopback port, as an OpenAI-compatible API.

It tells its address on stdout, logs to stderr and ends when its stdin closes, which the kernel does for a parent
that was killed.
"""

import os
import select
import sys
import threading
from pathlib import Path

SLOTS = 16
"""Sequences generated side by side; a request's n cannot be larger. Each slot reads a prompt's beginning once for
itself, so on a processor without a GPU more slots answer a few hundred short questions later, not sooner."""
CONTEXT_TOKENS = 32_768
"""Tokens of prompt and reply that all slots together hold: they share one cache."""


def end_with_parent() -> None:
    """Wait until the parent is gone, then end at once: nothing here is worth a farewell."""
    parent = os.getppid()
    # A worker forked by the parent may hold the pipe open after it, so the parent itself is looked at too.
    while os.getppid() == parent:
        closed, _, _ = select.select([0], [], [], 1.0)
        if closed and not os.read(0, 4096):
            break
    os._exit(0)


def main(weights: str) -> None:
    """Serve until the parent is gone."""
    told = os.dup(1)
    os.dup2(2, 1)  # llama.cpp writes to stdout as it likes
    threading.Thread(target=end_with_parent, daemon=True).start()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {Path(weights).stem}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT_TOKENS
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = len(os.sched_getaffinity(0))
    params.n_threads_http = SLOTS + 4  # each waiting request holds one
    params.cache_ram_mib = 0
    params.ui = False
    server = xllamacpp.Server(params)
    os.write(told, f"{server.listening_address}\n".encode())
    os.close(told)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
