"""Fine-tune on the answers alone, without any reasoning: what a distillation of rationales has to beat.

Source  Hsieh et al. 2023, "Distilling Step-by-Step! Outperforming Larger Language Models with Less Training Data and
        Smaller Model Sizes", arXiv:2305.02301, section 4: standard fine-tuning with gold answers, standard task
        distillation with the teacher's where there are none
Differs the student is a decoder that writes the answer as its turn; the teacher is asked what `distilling-step-by-step`
        asks, so where both are run its replies are paid for once
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
    """Load, solve, decontaminate, assemble, train, evaluate."""
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
            Assemble(prompt="answer-only/student", student=model, terms=choices.terms),
            rows=("decontaminate",),
        ),
        *student(
            choices,
            Train(model=model, epochs=10, learning_rate=5e-5, schedule="constant", batch_size=64),
            "answer-only/student",
            max_new_tokens=256,
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="answer-only/student",
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
