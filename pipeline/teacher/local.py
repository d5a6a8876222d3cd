"""Weights that we serve ourselves: the embedded teacher, or any GGUF file."""

import importlib.util
import os
import select
import subprocess
import sys
from pathlib import Path

from pipeline.errors import TeacherError, UsageError
from pipeline.weights import embedded_weights

START_SECONDS = 300
"""Longest wait for the weights to be loaded."""


def weights_of(local: str, base: Path) -> Path:
    """The file of the embedded teacher's weights, or of the user's own, relative to `base`.

    Raises:
        UsageError: it is not there.
    """
    if local != "embedded":
        path = base / local
        if not path.is_file():
            raise UsageError(f"no file {path}", "give a GGUF file, relative to the file of the choices")
        return path.resolve()
    return embedded_weights()


def check_installed() -> None:
    """Refuse to go on without llama.cpp.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise UsageError("a local teacher needs xllamacpp", 'pip install "cot-distill[local]"')


class LocalTeacher:
    """A llama.cpp server in a child process, which ends with this one however that ends.

    Args:
        weights: the GGUF file.
        log: file that its log is added to.
    """

    def __init__(self, weights: Path, log: Path) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as log_file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("local_server.py")), str(weights)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,  # Ctrl-C is for us: what is in flight is waited for
                env={**os.environ, "OMP_WAIT_POLICY": "passive"},  # spinning threads starve beside any other work
            )
        self.base_url = f"{self._address()}/v1"

    @property
    def process_id(self) -> int:
        """Of the child."""
        return self._process.pid

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.communicate()

    def _address(self) -> str:
        """What the child tells once it serves: llama.cpp binds its port before it loads, and tells it after."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        line = self._process.stdout.readline().decode().strip() if ready else ""
        if not line:
            self.close()
            raise TeacherError(f"the local teacher did not start: {self._last_words()}", f"its log is {self._log}")
        return line

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split(os.linesep)
        return next((line.strip()[-200:] for line in reversed(lines) if line.strip()), "it logged nothing")
