"""Held-out questions, found again in other questions and in texts.

A question is found exactly (`exact`), by 13 words in a row (`words`), whole within a text (`whole`), or by most of its
words (`near`). By words in a row and near only where that tells something: at least 30 words of it are its own, and
they are half of all. Questions of a template share their sentences with every other question of it, and short ones
share turns of phrase with any; those are found exactly, and whole where they have 13 words.
"""

from collections.abc import Callable, Iterable, Sequence
from sys import intern
from typing import Literal, NamedTuple

from pipeline import generated
from pipeline.rows import Problem
from pipeline.similar.nearest import Nearest
from pipeline.similar.templates import SENTENCE, Templates
from pipeline.similar.words import grams, plain, plain_question, words

OWN_WORDS = 30
"""Least words of its own of a question that is found by some of them."""
OWN_SHARE = 0.5
"""Least share of its words that are its own."""

How = Literal["exact", "words", "whole", "near"]


class Hit(NamedTuple):
    """A held-out question that was found."""

    held_out: str
    """Its id."""
    how: How
    words: str
    """What was found of it, as words."""
    share: float
    """Share of its words that stand there in a row; of a near one, the Jaccard similarity of both sets of words."""


class _Question(NamedTuple):
    id: str
    text: str
    words: tuple[str, ...]


class HeldOut:
    """An index of held-out questions.

    Memory grows with them alone: about 400 bytes for each of their words.

    Args:
        problems: the held-out problems; what asks the same as an earlier one is left out.
        train_questions: gives the questions of the other side, each as often as it likes; they tell what is a
            template's. Not called where no held-out question is long enough to need it.
        near_share: least Jaccard similarity of two near questions' sets of words.
    """

    def __init__(
        self, problems: Iterable[Problem], train_questions: Callable[[], Iterable[str]], near_share: float
    ) -> None:
        self._exact: dict[str, str] = {}
        questions: list[_Question] = []
        is_generated: list[bool] = []
        for problem in problems:
            key = plain_question(problem)
            if key not in self._exact:
                self._exact[key] = problem.id
                spoken = tuple(map(intern, words(problem.question)))
                questions.append(_Question(problem.id, problem.question, spoken))
                is_generated.append(problem.source.startswith(generated.PREFIX))
        self.total = len(questions)
        self.of_a_template = self.under_length = 0
        long = [not made and len(q.words) >= OWN_WORDS for q, made in zip(questions, is_generated, strict=True)]
        own = _own_words([q for q, enough in zip(questions, long, strict=True) if enough], train_questions)
        self._told: list[_Question] = []
        """Found by some of their words."""
        self._grams: dict[int, int] = {}
        """Hash of 13 words in a row -> place in `_told`."""
        self._openings: dict[int, set[int]] = {}
        """Hash of the first 13 words of a question that is found whole -> lengths of such questions."""
        self._wholes: dict[int, _Question] = {}
        for question, made in zip(questions, is_generated, strict=True):
            self._index(question, own.get(question.text, [not made] * len(question.words)))
        self._seeds = self._grams.keys() | self._openings.keys()
        self._nearest = Nearest([frozenset(question.words) for question in self._told], near_share)

    def _index(self, question: _Question, own: Sequence[bool]) -> None:
        is_template = sum(own) < OWN_SHARE * len(own)
        if sum(own) >= OWN_WORDS and not is_template:
            for start, gram in enumerate(grams(question.words, SENTENCE)):
                if all(own[start : start + SENTENCE]):
                    self._grams.setdefault(hash(gram), len(self._told))
            self._told.append(question)
            return
        self.of_a_template += is_template
        self.under_length += not is_template
        if len(question.words) >= SENTENCE:
            self._openings.setdefault(hash(question.words[:SENTENCE]), set()).add(len(question.words))
            self._wholes.setdefault(hash(question.words), question)

    @property
    def compared(self) -> int:
        """How many are found by some of their words."""
        return len(self._told)

    def in_question(self, problem: Problem) -> Hit | None:
        """The held-out question that this problem asks, or says 13 words of."""
        same = self._exact.get(plain_question(problem))
        if same is not None:
            return Hit(same, "exact", "", 1.0)
        spoken = words(problem.question)
        return next((hit for start in self._places(spoken) if (hit := self._run(spoken, start))), None)

    def in_text(self, text: str, question: str) -> Hit | None:
        """The held-out question of which a text says 13 words, or all.

        Args:
            text: what is looked through.
            question: what the text is about; a held-out question that stands in it whole is not looked for.
        """
        spoken = words(text)
        for start in self._places(spoken):
            if hit := self._run(spoken, start) or self._whole(spoken, start, text, question):
                return hit
        return None

    def near(self, problem: Problem) -> Hit | None:
        """The held-out question that shares most words with this problem's, where that is enough of them."""
        spoken = frozenset(words(problem.question))
        found = self._nearest.find(spoken)
        if found is None:
            return None
        question = self._told[found[0]]
        return Hit(question.id, "near", " ".join(dict.fromkeys(w for w in question.words if w in spoken)), found[1])

    def _places(self, spoken: Sequence[str]) -> list[int]:
        """Where 13 words begin that may be a held-out question's; empty for nearly every text."""
        if self._seeds.isdisjoint(map(hash, grams(spoken, SENTENCE))):
            return []
        return [start for start, gram in enumerate(grams(spoken, SENTENCE)) if hash(gram) in self._seeds]

    def _run(self, spoken: Sequence[str], start: int) -> Hit | None:
        """The words in a row, from `start` on, that a question says too."""
        place = self._grams.get(hash(tuple(spoken[start : start + SENTENCE])))
        if place is None:
            return None
        question, said = self._told[place], tuple(spoken[start : start + SENTENCE])
        begins = next((at for at, gram in enumerate(grams(question.words, SENTENCE)) if gram == said), None)
        if begins is None:  # another sentence with the same hash
            return None
        pairs = zip(spoken[start:], question.words[begins:], strict=False)
        length = next((count for count, (one, other) in enumerate(pairs) if one != other), None)
        length = length or min(len(spoken) - start, len(question.words) - begins)
        return Hit(question.id, "words", " ".join(spoken[start : start + length]), length / len(question.words))

    def _whole(self, spoken: Sequence[str], start: int, text: str, about: str) -> Hit | None:
        """The question that is said whole from `start` on, signs of formulas and all."""
        for length in sorted(self._openings.get(hash(tuple(spoken[start : start + SENTENCE])), ())):
            question = self._wholes.get(hash(tuple(spoken[start : start + length])))
            if question and plain(question.text) in plain(text) and plain(question.text) not in plain(about):
                return Hit(question.id, "whole", " ".join(question.words), 1.0)
        return None


def _own_words(questions: Sequence[_Question], train_questions: Callable[[], Iterable[str]]) -> dict[str, list[bool]]:
    """For each question, which of its words are no template's."""
    if not questions:
        return {}
    templates = Templates([question.text for question in questions])
    for question in train_questions():
        templates.add(question)
    return {question.text: templates.own_words(question.text) for question in questions}
