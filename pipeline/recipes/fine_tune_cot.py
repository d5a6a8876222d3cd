"""Zero-shot chain of thought in two calls, several diverse solutions a problem, the correct ones kept.

Source  Ho, Schmid, Yun 2023, "Large Language Models Are Reasoning Teachers", arXiv:2212.10071, section 3
Differs the target is prose ("Therefore, the answer is ...") where the paper writes `--> answer END`; 8 diverse
        solutions where it goes to 64; the student is a chat model; no test epoch is chosen: the last one is reported
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
            Solve(
                prompt="fine-tune-cot/solve",
                answer_prompt="fine-tune-cot/answer",
                samples=8,
                temperature=0.7,
                max_tokens=512,
            ),
            rows=("load",),
        ),
        Step("check", Check(), rows=("solve",)),
        Step("vote", Vote(without_gold_only=True), rows=("check",), uses={"calibration": "solve"}),
        Step("filter", Filter(), rows=("vote",)),
        Step("select", Select(), rows=("filter",)),
        Step("decontaminate", Decontaminate(), rows=("select",), uses={"heldout": "heldout"}),
        Step(
            "assemble",
            Assemble(prompt="fine-tune-cot/student", student=model, terms=choices.terms),
            rows=("decontaminate",),
        ),
        *student(
            choices,
            Train(model=model, epochs=20, learning_rate=3e-4, schedule="constant", batch_size=8),
            "fine-tune-cot/student",
            max_new_tokens=512,
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="fine-tune-cot/student",
                teacher="main",
                teacher_prompt="fine-tune-cot/solve",
                teacher_max_tokens=512,
                max_new_tokens=512,
            ),
            rows=("heldout",),
            uses=trained(choices),
        ),
    ]
