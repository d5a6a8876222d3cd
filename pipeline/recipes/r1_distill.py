"""Sample from a reasoning teacher, keep what is right by gold or wins the vote without it, and fine-tune on the rest.

Source  DeepSeek-AI 2025, "DeepSeek-R1: Incentivizing Reasoning Capability in LLMs via Reinforcement Learning",
        arXiv:2501.12948, sections 2.3.3 (rejection sampling), 2.4 (distillation: supervised fine-tuning alone), 3
        (temperature 0.6, top-p 0.95)
Differs problems without a gold answer are voted on instead of judged by a model; general, non-reasoning rows are not
        mixed in; 4 samples a problem unless more are set
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
            Solve(prompt="r1-distill/solve", samples=4, temperature=0.6, top_p=0.95, max_tokens=8192),
            rows=("load",),
        ),
        Step("check", Check(), rows=("solve",)),
        Step("vote", Vote(without_gold_only=True), rows=("check",), uses={"calibration": "solve"}),
        Step("filter", Filter(), rows=("vote",)),
        Step("select", Select(), rows=("filter",)),
        Step("decontaminate", Decontaminate(), rows=("select",), uses={"heldout": "heldout"}),
        Step(
            "assemble",
            Assemble(prompt="r1-distill/student", student=model, terms=choices.terms),
            rows=("decontaminate",),
        ),
        *student(
            choices,
            Train(model=model, epochs=3, learning_rate=1e-4, schedule="cosine", batch_size=64),
            "r1-distill/student",
            max_new_tokens=8192,
        ),
        Step(
            "evaluate",
            Evaluate(
                model=model,
                student_prompt="r1-distill/student",
                teacher="main",
                teacher_prompt="r1-distill/solve",
                teacher_max_tokens=8192,
                max_new_tokens=8192,
            ),
            rows=("heldout",),
            uses=trained(choices),
        ),
    ]
