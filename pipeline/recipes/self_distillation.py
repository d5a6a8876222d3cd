"""A model learns to do zero-shot, at the first try, what it does now and then with examples shown.

Source  rejection sampling: Yuan et al. 2023, "Scaling Relationship on Learning Mathematical Reasoning with Large
        Language Models", arXiv:2308.01825, section 3.3 (distinct correct samples of a model train it); few-shot
        samples, zero-shot target: Snell et al. 2022, "Learning by Distilling Context", arXiv:2209.15189, section 2
Differs the prompt shows sums, for the embedded default; set solve.prompt to your own. Where there is no gold answer,
        the vote decides
"""

from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems, student, trained
from stages.assemble import Assemble
from stages.check import Check
from stages.decontaminate import Decontaminate
from stages.evaluate import Evaluate
from stages.filter import Filter
from stages.select import Select
from stages.solve import Solve
from stages.train import Train
from stages.vote import Vote


def recipe(choices: Choices) -> list[Step]:
    """Load, solve, check, vote, filter, select, decontaminate, assemble, train, evaluate."""
    model = choices.student.model
    return [
        *problems(choices),
        Step(
            "solve",
            Solve(prompt="self-distillation/solve", samples=4, temperature=0.7, max_tokens=24, stop=("\n",)),
            rows=("load",),
        ),
        Step("check", Check(), rows=("solve",)),
        Step("vote", Vote(without_gold_only=True), rows=("check",), uses={"calibration": "solve"}),
        Step("filter", Filter(), rows=("vote",)),
        Step("select", Select(), rows=("filter",)),
        Step("decontaminate", Decontaminate(), rows=("select",), uses={"heldout": "heldout"}),
        Step(
            "assemble",
            Assemble(prompt="self-distillation/student", distinct=True, student=model, terms=choices.terms),
            rows=("decontaminate",),
        ),
        *student(
            choices,
            Train(model=model, epochs=2, learning_rate=1.5e-4, batch_size=8),
            "self-distillation/student",
            max_new_tokens=48,
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="self-distillation/student",
                teacher="main",
                teacher_prompt="self-distillation/solve",
                teacher_max_tokens=48,
                teacher_stop=("\n",),
                max_new_tokens=48,
                batch_size=100,
            ),
            rows=("heldout",),
            uses=trained(choices),
        ),
    ]
