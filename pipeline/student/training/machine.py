"""What there is to train on: the devices and their free memory, the processor, and the packages that matter."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pipeline.student import load

CGROUPS = Path("/sys/fs/cgroup")
FLASH_ATTENTION_CAPABILITY = (8, 0)
"""The oldest CUDA devices that flash attention runs on: Ampere."""


@dataclass(frozen=True)
class Machine:
    """Everything about it that decides how a training is done."""

    kind: Literal["cuda", "cpu"]
    free_bytes: int
    """Of the device that has least, or of main memory."""
    devices: int = 1
    """CUDA devices; 1 for a processor."""
    cores: int = 1
    """Physical ones that this process may use."""
    bfloat16: bool = False
    """It multiplies bfloat16 faster than float32."""
    flash_attention: bool = False
    liger: bool = False
    bitsandbytes: bool = False


def look() -> Machine:
    """What there is now."""
    packages = {"liger": _is_installed("liger_kernel"), "bitsandbytes": _is_installed("bitsandbytes")}
    if load.device() == "cpu":
        return Machine(
            kind="cpu",
            free_bytes=free_main_memory(),
            cores=cores(),
            bfloat16=load.computes_in_bfloat16(),
            bitsandbytes=packages["bitsandbytes"],
        )
    import torch

    devices = range(torch.cuda.device_count())
    able = min(torch.cuda.get_device_capability(device) for device in devices) >= FLASH_ATTENTION_CAPABILITY
    return Machine(
        kind="cuda",
        free_bytes=min(torch.cuda.mem_get_info(device)[0] for device in devices),
        devices=len(devices),
        cores=cores(),
        bfloat16=load.computes_in_bfloat16(),
        flash_attention=able and _is_installed("flash_attn"),
        **packages,
    )


def cores() -> int:
    """Physical cores that this process may use; `OMP_NUM_THREADS` says so where it is set."""
    wished = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wished.isdigit() and int(wished) > 0:
        return int(wished)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    physical = {_core_of(processor) for processor in allowed}
    quota = min((quota for quota in map(_quota, _cgroups("cpu")) if quota), default=float("inf"))
    return max(1, int(min(len(physical), quota)))


def free_main_memory() -> int:
    """Bytes that can be taken without swapping: of the machine, and of every control group that this process is in."""
    import psutil

    limited = [left for left in map(_left_in_cgroup, _cgroups("memory")) if left is not None]
    return max(0, min([int(psutil.virtual_memory().available), *limited]))


def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def _core_of(processor: int) -> tuple[str | None, str | None] | int:
    """Package and core of a logical processor; itself where the system does not tell."""
    topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology")
    package, core = _read(topology / "physical_package_id"), _read(topology / "core_id")
    return processor if core is None else (package, core)


def _cgroups(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups that may limit it, from its own up to the root."""
    for line in (_read(Path("/proc/self/cgroup")) or "").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS / controller if controllers else CGROUPS
        folder = root / own.lstrip("/")
        yield from (path for path in (folder, *folder.parents) if path == root or root in path.parents)


def _quota(group: Path) -> float | None:
    """Processors' worth of time that a group may use; None where it has no bound."""
    limit, _, period = (_read(group / "cpu.max") or "").partition(" ")
    if not limit:
        limit, period = _read(group / "cpu.cfs_quota_us") or "", _read(group / "cpu.cfs_period_us") or ""
    return int(limit) / int(period) if limit.isdigit() and period.isdigit() else None


def _left_in_cgroup(group: Path) -> int | None:
    """Bytes that a group may still take, its file cache counted as free; None where it has no bound."""
    for limit_name, used_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, used = _read(group / limit_name), _read(group / used_name)
        if limit and used and limit.isdigit():
            return int(limit) - int(used) + _file_cache(group)
    return None


def _file_cache(group: Path) -> int:
    """Bytes of files that the group gives up before it runs out."""
    figures = dict(line.split() for line in (_read(group / "memory.stat") or "").splitlines())
    return int(figures.get("total_inactive_file", figures.get("inactive_file", 0)))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
