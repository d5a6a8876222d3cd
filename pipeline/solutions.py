"""What a stage makes of a teacher's replies to one problem."""

from collections.abc import Sequence

from pipeline.answers import find, split
from pipeline.rows import Dropped, Problem, Solution
from pipeline.stage import Reply


def read_solution(
    problem: Problem, name: str, replies: Sequence[Reply], teacher: str, hinted: bool = False
) -> Solution | Dropped:
    """A solution, or why there is none: `refused` or `teacher_error`.

    Args:
        problem: what was asked.
        name: the solution's id.
        replies: the reply; where the answer was asked for by itself, that second reply too.
        teacher: who replied, by its name in the choices.
        hinted: the teacher was shown the gold answer.
    """
    for reply in replies:
        if reply.problem is not None:
            return Dropped(id=name, parent=problem.id, reason=reply.problem, detail=reply.detail)
    text = replies[0].text.strip()
    if len(replies) == 2:
        rationale = text
        text = f"{text}\nTherefore, the answer is {replies[1].text.strip()}"
    else:
        rationale, _ = split(text)
    return Solution(
        id=name,
        parent=problem.id,
        problem=problem,
        thoughts=replies[0].thoughts.strip(),
        text=text,
        rationale=rationale,
        found=find(text, problem),
        cut=any(reply.cut for reply in replies),
        hinted=hinted,
        teacher=teacher,
        keys=tuple(reply.key for reply in replies),
    )
