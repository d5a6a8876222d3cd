"""One of several processes of a training, as `launch.py` starts them: python -m pipeline.student.training.worker JOB.

Where it stands among them is in its environment, as torchrun would put it there. What it tells goes to its stdout, one
JSON list a line: the name of a method of `Progress` and its arguments, or the kind of an error, its fact and its hint.
Its stdin is a pipe that nobody writes to: it closes when the process that started it dies, however it dies, and then
this one does too.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import PipelineError
from pipeline.progress import Progress, Silent
from pipeline.student.training.job import Job, OutOfMemory


class Told:
    """A `Progress` that writes itself down.

    Args:
        file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def tell(self, name: str, *arguments: Any) -> None:
        """Write one line."""
        self._file.write(json.dumps([name, *arguments]) + "\n")
        self._file.flush()

    def total(self, count: int) -> None:
        """How many steps there will be."""
        self.tell("total", count)

    def advance(self, count: int = 1) -> None:
        """So many more of them are done."""
        self.tell("advance", count)

    def note(self, **figures: float | str) -> None:
        """Figures to show."""
        self.tell("note", figures)

    def say(self, line: str) -> None:
        """One line that stays on the screen."""
        self.tell("say", line)


def main(path: Path) -> int:
    """Take part in the training that a file describes; gives the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run to answer
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    told = Told(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # libraries print
    progress: Progress = told if os.environ["RANK"] == "0" else Silent()
    try:
        _train(Job.model_validate_json(path.read_bytes()), progress)
    except PipelineError as error:
        told.tell("out_of_memory" if isinstance(error, OutOfMemory) else "failed", error.fact, error.hint)
        return error.exit_status
    return 0


def _train(job: Job, progress: Progress) -> None:
    from torch.distributed import destroy_process_group

    from pipeline.student.training.trainer import train

    train(job, progress)
    destroy_process_group()


def _end_with_the_parent() -> None:
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
