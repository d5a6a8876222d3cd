"""Two tasks for the student, the label and the rationale, from one few-shot sample a problem that nobody filters.

Source  Hsieh et al. 2023, "Distilling Step-by-Step! Outperforming Larger Language Models with Less Training Data and
        Smaller Model Sizes", arXiv:2305.02301, section 3
Differs the student is a decoder that is told its task in the user's turn (`predict:`, `explain:`); both rows of an
        item need not stand in the same batch, so the loss is a mean over rows, each weighted alpha or 1 - alpha;
        rationales that loop or were cut short stay in, as in the paper: a step `filter` would drop them
"""

from pipeline.choices import Choices
from pipeline.recipe import Step
from pipeline.recipes import problems, student, trained
from stages.assemble import Assemble
from stages.decontaminate import Decontaminate
from stages.evaluate import Evaluate
from stages.solve import Solve
from stages.train import Train


def recipe(choices: Choices) -> list[Step]:
    """Load, solve, decontaminate, assemble, train, evaluate; at test time the student writes the label alone."""
    model = choices.student.model
    return [
        *problems(choices),
        Step(
            "solve",
            Solve(prompt="distilling-step-by-step/solve", samples=1, temperature=0, max_tokens=256, stop=("\nQ:",)),
            rows=("load",),
        ),
        Step("decontaminate", Decontaminate(), rows=("solve",), uses={"heldout": "heldout"}),
        Step(
            "assemble",
            Assemble(
                prompt="distilling-step-by-step/label",
                rationale_prompt="distilling-step-by-step/rationale",
                alpha=0.5,
                answers="gold",
                student=model,
                terms=choices.terms,
            ),
            rows=("decontaminate",),
        ),
        *student(
            choices,
            Train(model=model, loss="row", epochs=10, learning_rate=5e-5, schedule="constant", batch_size=64),
            "distilling-step-by-step/label",
            max_new_tokens=256,
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="distilling-step-by-step/label",
                teacher="main",
                teacher_prompt="distilling-step-by-step/solve",
                teacher_max_tokens=256,
                teacher_stop=("\nQ:",),
                max_new_tokens=256,
            ),
            rows=("heldout",),
            uses=trained(choices),
        ),
    ]
