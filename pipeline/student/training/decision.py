"""How a training is done: what the user wishes, and what was chosen."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pipeline.student.training.footprint import Method
from pipeline.student.training.job import Fit


class Wishes(BaseModel):
    """What the user wants of the fit; fields of the same names in `stages/train.py` say more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["auto", "full", "lora", "qlora"] = "auto"
    lora_rank: int = 16
    learning_rate: float = 2e-5
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    batch_size: int = 16
    micro_batch_size: int | None = None
    activation_checkpointing: bool | None = None
    padding_free: bool | None = None
    liger: bool | None = None
    processes: int | None = None


class Decision(BaseModel):
    """What was chosen; a training that was stopped goes on with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method
    learning_rate_factor: float = 1
    """What the learning rate is multiplied with."""
    fit: Fit
    why: tuple[str, ...] = ()
    """A line on each choice."""

    @classmethod
    def read(cls, path: Path) -> "Decision | None":
        """The one that `published` was written of; None where there is none."""
        try:
            flat = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        parts = Fit(**{name: flat.pop(name) for name in Fit.model_fields})
        return cls(fit=parts, **flat)

    def published(self) -> dict[str, object]:
        """Flat, with `why` at the end."""
        parts = {"method": self.method, "learning_rate_factor": self.learning_rate_factor, **self.fit.model_dump()}
        return {**parts, "why": list(self.why)}

    def smaller(self) -> "Decision | None":
        """The same with less in memory at once, down to one example whose activations are computed again."""
        micro = self.fit.micro_batch_size
        if micro > 1:
            less = max(part for part in range(1, micro // 2 + 1) if micro % part == 0)
            change: dict[str, object] = {"micro_batch_size": less}
            line = f"micro batch {less}: {micro} was out of memory"
        elif not self.fit.activation_checkpointing:
            change = {"activation_checkpointing": True}
            line = "activation checkpointing: one example at once was out of memory"
        else:
            return None
        return self.model_copy(update={"fit": self.fit.model_copy(update=change), "why": (*self.why, line)})
