"""How much memory a model took at most, from one moment to another."""

from contextlib import suppress
from pathlib import Path

OWN = Path("/proc/self")
FORGET_PEAK = "5"
"""Written to `clear_refs`, it makes Linux count a process's peak anew from what it holds now."""


def begin_peak() -> None:
    """Count the peak anew from here."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        (OWN / "clear_refs").write_text(FORGET_PEAK)


def peak_bytes() -> int | None:
    """The peak since `begin_peak`: what PyTorch held on the CUDA device, else the memory of the whole process.

    None where the system does not tell, or only tells the peak since the process began.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        if not (OWN / "clear_refs").exists():
            return None
        lines = (OWN / "status").read_text().splitlines()
    except OSError:
        return None
    told = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if told is None else 1024 * int(told)
