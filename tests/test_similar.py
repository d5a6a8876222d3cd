"""Words, shingles, near sets, diversity, duplicates and templates."""

import itertools
import random

import pytest

from pipeline.rows import Problem
from pipeline.similar.diversity import most_diverse
from pipeline.similar.duplicates import exact_firsts, near_firsts
from pipeline.similar.nearest import Nearest
from pipeline.similar.templates import Templates
from pipeline.similar.words import jaccard, plain, plain_question, shingles, words

VOCABULARY = ["".join(letters) for letters in itertools.product("abcdefghijklmnop", repeat=3)]


def text(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=count))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("It’s 1,000 m.", ["it's", "1000", "m"]),
        ("3,4 and 2.50!", ["3", "4", "and", "2.50"]),
        ("ＦＵＬＬ\u00a0width\n", ["full", "width"]),
        ("小明有3个", ["小", "明", "有", "3", "个"]),
        ("snake_case 20-year-old", ["snake", "case", "20", "year", "old"]),
        ("", []),
        ("?!", []),
    ],
)
def test_words_have_neither_case_nor_marks(said: str, expected: list[str]) -> None:
    assert words(said) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("What is 2 + 3?", "what is 2+3", True),
        ("What is 2 + 3?", "What is 2 - 3?", False),
        ("What is 2 * (3 + 1)?", "What is (2 * 3) + 1?", False),
        ("He has 3, she has 4. Who wins?", "He has 3 she has 4 who wins", True),
        ("Is it 1.5?", "Is it 15?", False),
        ("Add 12 and 3.", "Add 1 and 23.", False),
        ("What is 5!?", "What is 5?", False),
        ("Stop! Why?", "stop why", True),
        ('He said "yes".', "He said “yes”", True),
    ],
)
def test_plain_texts_differ_where_another_thing_is_asked(one: str, other: str, same: bool) -> None:
    assert (plain(one) == plain(other)) is same
    assert plain(plain(one)) == plain(one)


def test_options_in_another_order_ask_the_same() -> None:
    asked = Problem(id="a", question="Where is it?", choices=("in the box", "on the bed"))
    assert plain_question(asked) == plain_question(asked.model_copy(update={"choices": ("On the bed.", "In the box")}))
    assert plain_question(asked) != plain_question(asked.model_copy(update={"choices": ("in the box", "in the bed")}))


def test_a_short_text_is_one_shingle_and_an_empty_one_none() -> None:
    assert shingles("a b c d", 3) == {("a", "b", "c"), ("b", "c", "d")}
    assert shingles("A b.", 3) == {("a", "b")}
    assert shingles("...", 3) == frozenset()
    assert jaccard(shingles("", 3), shingles("", 3)) == 1.0
    assert jaccard(shingles("a b c d", 3), shingles("a b c e", 3)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 1.0])
def test_the_nearest_set_is_what_comparing_all_of_them_gives(share: float) -> None:
    chance = random.Random(5)
    sets = [frozenset(chance.sample(VOCABULARY[:40], chance.randint(0, 14))) for _ in range(300)]
    index = Nearest(sets[:200], share)
    found = 0
    for asked in sets:
        best = max(jaccard(asked, other) for other in sets[:200] if other) if asked else 0.0
        answer = index.find(asked)
        assert answer == (
            None if best < share else (next(i for i in range(200) if jaccard(asked, sets[i]) == best), best)
        )
        found += answer is not None
    assert found >= 150


def test_the_most_diverse_are_the_first_and_what_is_least_like_it() -> None:
    sets = [frozenset(letters) for letters in ("abcd", "abce", "wxyz", "abwx", "abcd")]
    assert most_diverse(sets, 2) == [0, 2]
    assert most_diverse(sets, 3) == [0, 2, 3]
    assert most_diverse(sets, 9) == [0, 1, 2, 3, 4]
    assert most_diverse([], 2) == []
    assert most_diverse([frozenset("ab")] * 3, 2) == [0, 1]


def test_exact_duplicates_name_the_first() -> None:
    texts = ["Four is 4.", "four  is 4", "five is 5", "Four is 4", "4 + 3 = 7", "4 - 3 = 7"]
    assert exact_firsts(texts).tolist() == [0, 0, 2, 0, 4, 5]


def test_near_duplicates_name_the_first_of_their_chain() -> None:
    lone = [text(seed) for seed in range(40)]
    copies = [" ".join([*base.split()[:-2], "other", "ending"]) for base in lone[:20]]
    further = [" ".join(["another", "opening", *copy.split()[2:]]) for copy in copies[:10]]
    firsts = near_firsts([*lone, *copies, *further, "", ""], 90, 0.8).tolist()
    assert firsts == [*range(40), *range(20), *range(10), 70, 70]


def test_the_last_of_a_chain_names_its_first_though_they_are_not_near() -> None:
    first, opening, ending = text(1, 200).split(), text(2, 20).split(), text(3, 20).split()
    second = [*first[:-20], *ending]
    third = [*opening, *second[20:]]
    likeness = [jaccard(shingles(" ".join(one), 5), shingles(" ".join(first), 5)) for one in (second, third)]
    assert likeness == [pytest.approx(0.82, abs=0.01), pytest.approx(0.67, abs=0.01)]
    assert near_firsts(map(" ".join, (first, third)), 2, 0.74).tolist() == [0, 1]
    assert near_firsts(map(" ".join, (first, second, third)), 3, 0.74).tolist() == [0, 0, 0]


def test_a_signature_tells_the_similarity_within_its_error() -> None:
    """Pairs of a known Jaccard similarity: those far from the share are told rightly, all of them."""
    base = [text(seed, 100).split() for seed in range(200)]

    def copies(changed: int) -> list[int]:
        """How many of the pairs are told as near; 96 shingles each."""
        other = [" ".join([*one[: 100 - changed], *text(900 + at, changed).split()]) for at, one in enumerate(base)]
        firsts = near_firsts([*map(" ".join, base), *other], 400, 0.8).tolist()
        return [first for place, first in enumerate(firsts) if first != place]

    assert len(copies(2)) == 200  # 94 of 98 shared: 0.96
    assert len(copies(30)) == 0  # 66 of 126: 0.52


def test_the_same_texts_give_the_same_firsts_whatever_comes_with_them_in_a_call() -> None:
    texts = [text(seed % 700, 20) for seed in range(1500)]
    assert near_firsts(texts, 1500, 0.9).tolist() == [seed % 700 for seed in range(1500)]


COINS = "A coin is heads up. {} flips the coin. {} does not flip the coin. {} flips the coin. Is it still heads up?"
MARBLES = "{} has {} marbles in a bag and gives {} of them to a friend who has none of his own at home."
NATURAL = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
BOXED = " Please reason step by step, and put your final answer within \\boxed{}."


def own_share(held_out: list[str], others: list[str], which: int = 0) -> float:
    templates = Templates(held_out)
    for other in others:
        templates.add(other)
    own = templates.own_words(held_out[which])
    return sum(own) / len(own)


def test_what_is_said_with_other_numbers_and_names_is_a_templates() -> None:
    names = ["Ann", "Bob", "Cid", "Dan", "Eve"]
    coins = [COINS.format(*random.Random(seed).sample(names, 3)) for seed in range(8)]
    assert own_share(coins, []) == 0
    assert own_share(coins[:1], coins[1:]) == 0
    marbles = [MARBLES.format(name, number, number + 2) for number, name in enumerate(names)]
    assert own_share([*marbles[:1], NATURAL], marbles[1:]) < 0.1
    assert own_share([*marbles[:1], NATURAL], marbles[1:], which=1) == 1


def test_questions_that_are_equal_but_for_numbers_and_names_are_a_templates() -> None:
    """However far apart its numbers stand."""
    filled = [f"Ann has {number} marbles. {text(1, 90)}" for number in range(3)]
    assert own_share(filled[:1], filled[1:]) == 0
    assert own_share(filled[:1], filled[1:2]) == 1


def test_copies_of_a_question_do_not_make_it_a_template() -> None:
    assert own_share([NATURAL], [NATURAL] * 9) == 1
    assert own_share([NATURAL], [f"Hear this: {NATURAL} Think of number {number}." for number in range(9)]) == 1
    assert own_share([NATURAL], [NATURAL.replace("48", "50")]) == 1
    assert own_share([NATURAL], [NATURAL.replace("48", "50"), NATURAL.replace("48", "60")]) < 0.7


def test_a_sentence_of_three_held_out_questions_is_none_of_theirs() -> None:
    stem = "the same thirteen words are said here before what is asked of you"
    held_out = [f"{stem} {text(seed, 40)}" if seed < 3 else text(seed, 40) for seed in range(90)]
    assert Templates(held_out).own_words(held_out[0]) == [False] * 13 + [True] * 40
    assert Templates(held_out[1:]).own_words(held_out[1]) == [True] * 53


def test_words_on_how_to_answer_are_nobodys_own() -> None:
    held_out = [f"{text(seed, 40)}?{BOXED}" for seed in range(20)]
    own = Templates(held_out).own_words(held_out[0])
    assert own == [True] * 40 + [False] * 12
