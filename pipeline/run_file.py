"""What `run.json` says of a run: choices, versions, machine; never a secret."""

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.choices import Choices
from pipeline.recipe import Step

PACKAGES = ("torch", "transformers", "trl", "datasets", "openai", "xllamacpp", "reasoning-gym", "math-verify")


def describe(choices: Choices, steps: Sequence[Step]) -> dict[str, Any]:
    """Everything that somebody needs who wants to repeat this run."""
    told = choices.model_dump(mode="json")
    for teacher in told["teachers"].values():
        teacher["headers"] = dict.fromkeys(teacher["headers"], "(not kept)")
    return {
        "run": choices.run,
        "recipe": choices.recipe,
        "choices": told,
        "steps": [{"name": step.name, "stage": step.stage.name(), "rows": list(step.rows)} for step in steps],
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "git": _git_commit(),
        "python": platform.python_version(),
        "processor": _processor(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "self_distillation": _same_weights(choices),
    }


def _same_weights(choices: Choices) -> bool:
    """Whether the student begins as the main teacher's own weights."""
    local = choices.teachers["main"].local
    return local is not None and local == choices.student.model


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists() or shutil.which("git") is None:
        return None
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def _processor() -> str:
    """The processor's name and the number of cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {cores} cores"
