"""The largest micro batches of a training, proved and tried before its first step: what is at fault, or does not fit,
is known at once.

Imports torch at its top, so it is itself imported inside the functions that need it.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from transformers import TrainerCallback

from pipeline.student.proof import prove_batch
from pipeline.student.text import Encoded

REFUSED = ("std::bad_alloc", "Cannot allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
"""What else is said of it: by PyTorch's own parts, where a file of weights is mapped, and by CUDA and its libraries."""


class Rehearsal(TrainerCallback):  # type: ignore[misc]  # transformers' types are not followed
    """Does forward and backward passes with all memory of a step taken; weights and randomness stay as they are.

    Args:
        trainer: whose first step it comes before.
        micro_batches: rows of the data set that stand together, the largest.
    """

    def __init__(self, trainer: Any, micro_batches: Iterable[Sequence[int]]) -> None:
        self.trainer = trainer
        self.micro_batches = micro_batches

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Rehearse; the trainer has wrapped the model by now, and has loaded the checkpoint that it goes on from."""
        trainer = self.trainer
        model = trainer.model_wrapped
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        begun = trainer.optimizer.state
        # Adam's two moments, which the first step makes, and the gradients, which stay while others are added to them.
        taken = [torch.zeros_like(parameter) for parameter in trained if parameter not in begun for _ in range(2)]
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            for rows in self.micro_batches:
                examples = [trainer.train_dataset[row] for row in rows]
                batch = trainer.data_collator(examples)
                encoded = [Encoded(example["input_ids"], example["labels"]) for example in examples]
                prove_batch(trainer.processing_class, encoded, batch)
                trainer.training_step(model, batch, batch["share"].sum().to(args.device))
        del taken
        model.zero_grad()


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory could not be had, on a device or on the processor."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return should_reduce_batch_size(error) or any(words in str(error) for words in REFUSED)
