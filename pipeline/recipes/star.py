"""What the teacher cannot solve by itself it explains with the answer shown; one round.

Source  Zelikman et al. 2022, "STaR: Bootstrapping Reasoning With Reasoning", arXiv:2203.14465, section 3
Differs one round of the outer loop; where teacher and student are not the same model, it is the fall-back of Li et
        al. 2022, arXiv:2210.06726; an explanation that speaks of the answer it was shown is dropped
"""

from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems, student, trained
from stages.assemble import Assemble
from stages.check import Check
from stages.decontaminate import Decontaminate
from stages.evaluate import Evaluate
from stages.filter import Filter
from stages.rationalize import Rationalize
from stages.select import Select
from stages.solve import Solve
from stages.train import Train


def recipe(choices: Choices) -> list[Step]:
    """Load, solve, check, rationalize, check again, filter, select, decontaminate, assemble, train, evaluate."""
    model = choices.student.model
    return [
        *problems(choices),
        Step("solve", Solve(prompt="star/solve", temperature=0, max_tokens=512, stop=("\nQ:",)), rows=("load",)),
        Step("check", Check(), rows=("solve",), may_be_empty=True),
        Step(
            "rationalize",
            Rationalize(prompt="star/rationalize", temperature=0, max_tokens=512, stop=("\nQ:",)),
            rows=("load",),
            uses={"solved": "check"},
        ),
        Step("check-hinted", Check(), rows=("rationalize",), may_be_empty=True),
        Step("filter", Filter(), rows=("check", "check-hinted")),
        Step("select", Select(), rows=("filter",)),
        Step("decontaminate", Decontaminate(), rows=("select",), uses={"heldout": "heldout"}),
        Step("assemble", Assemble(prompt="star/student", student=model, terms=choices.terms), rows=("decontaminate",)),
        *student(
            choices, Train(model=model, epochs=3, learning_rate=2e-5, batch_size=8), "star/student", max_new_tokens=512
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="star/student",
                teacher="main",
                teacher_prompt="star/solve",
                teacher_max_tokens=512,
                teacher_stop=("\nQ:",),
                max_new_tokens=512,
            ),
            rows=("heldout",),
            uses=trained(choices),
        ),
    ]
