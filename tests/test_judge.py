"""The judge, from a text to its verdict: by kinds of answers, on real data, and beside the papers' own readings."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from pipeline.answers import Verdict, judge, normalise
from pipeline.answers.kinds import kind_of
from pipeline.answers.published import distilled_right, first_or_last
from pipeline.answers.verdict import Question, decide
from pipeline.rows import InputOutput, Problem
from tests.real_data import real

MEASURES = ("21", "21.5", "22", "22.5", "23")
SINCERE = ("excellent", "good", "kind", "warm", "sincere")
CHOKER = ("jewelry store", "neck", "box", "boutique", "jewelry box")
Row = dict[str, Any]


def problem(answer: str | None = None, choices: Sequence[str] = (), **more: Any) -> Problem:
    return Problem(id="p", question=more.pop("question", "?"), answer=answer, choices=tuple(choices), **more)


# (text, gold, outcome, what else the judge is told)
NUMBERS = [
    ("The answer is 18.", "18", "right"),
    ("Final answer: **18**", "18", "right"),
    (r"The answer is: $\boxed{18}$", "18", "right"),
    ("So she makes $18 per day.", "18", "right"),
    ("### Final Answer\n18", "18", "right"),
    ("**Final Answer**\n\n$18", "18", "right"),
    (r"Answer: \$18", "18", "right"),
    ("answer = 18", "18", "right"),
    ("ANSWER: 18 dollars", "18", "right"),
    (r"The final answer is $\boxed{18}$. I hope it is correct.", "18", "right"),
    (r"Thus, the total is \( 9 \times 2 = 18 \).", "18", "right"),
    ("The answer is 1,000.", "1000", "right"),
    ("The answer is $1,000.00.", "1000", "right"),
    ("The answer is 016.", "16", "right"),
    ("The answer is 1/2.", "0.5", "right"),
    ("The answer is 50%.", "1/2", "right"),
    ("The answer is 50%", "50", "right"),
    ("It is 50.", "50%", "right"),
    (r"The answer is 3,\!500.", "3500", "right"),
    (r"\boxed{3,\!500}", "3500", "right"),
    (r"\boxed{3{,}500}", r"3,\!500", "right"),
    (r"\boxed{\dfrac{3}{4}}", r"\frac{3}{4}", "right"),
    (r"\boxed{\frac34}", "0.75", "right"),
    (r"\boxed{\frac{3}4}", "3/4", "right"),
    (r"\boxed{-\frac{3}{4}}", "-0.75", "right"),
    (r"\boxed{2\frac{1}{2}}", "2.5", "right"),
    ("The answer is 2 1/2 cups.", "5/2", "right"),
    ("The answer is 2 and 1/2.", "2.5", "right"),
    ("The answer is 2½ hours.", "2.5", "right"),
    (r"\boxed{90^\circ}", "90", "right"),
    (r"\boxed{90^{\circ}}", r"90^\circ", "right"),
    (r"\boxed{18\text{ cm}^2}", "18", "right"),
    (r"\boxed{18 \, \mathrm{cm}}", "18", "right"),
    (r"\boxed{x=5}", "5", "right"),
    (r"\boxed{5}", "x=5", "right"),
    (r"\boxed{y = 5}", "x = 5", "wrong"),
    (r"\boxed{50\%}", r"50\%", "right"),
    (r"\boxed{\$18}", "18", "right"),
    ("The answer is 3e8.", "300000000", "right"),
    (r"\boxed{3 \times 10^8}", "3e8", "right"),
    ("The answer is 3 x 10^8 m/s.", "300000000", "right"),
    ("The answer is 1.5 million.", "1,500,000", "right"),
    ("The answer is 1.5 billion.", "1,500,000", "wrong"),
    ("The answer is five.", "5", "right"),
    ("The answer is twenty-one dollars.", "21", "right"),
    ("five", "5", "right"),
    ("The answer is one half", "0.5", "right"),
    ("The answer is 9 * 2 = 18.", "18", "right"),
    ("The answer is x = 18.", "18", "right"),
    ("The answer is 18 = 9 * 2.", "18", "right"),
    ("So 3x + 2 = 14, so x = 4.", "4", "right"),
    ("The answer is 18 because 9 * 2 = 18 and 5 + 5 = 10.", "18", "right"),
    ("The answer is 18 because 9 * 2 = 18 and 5 + 5 = 10.", "10", "wrong"),
    ("The answer is 3 or 4.", "3", "wrong"),
    ("The answer is 3 or 4.", "4", "wrong"),
    ("The answer is 3-4.", "3", "wrong"),
    ("The answer is between 3 and 4.", "3", "wrong"),
    ("The answer is 3 to 4 hours.", "3", "wrong"),
    ("The answer is 10, 20.", "10", "wrong"),
    ("The answer is either 3 apples or 4 apples", "4", "wrong"),
    ("The answer is 3:4.", "3", "wrong"),
    ("The answer is 3:4.", "3:4", "right"),
    ("The answer is 3 : 4", "3:4", "right"),
    ("The answer is 5 ± 2", "5", "wrong"),
    (r"\boxed{5 \pm 2}", "5", "wrong"),
    ("The answer is 2x.", "2", "wrong"),
    (r"The answer is 2\pi.", "2", "wrong"),
    (r"The answer is $2\sqrt{3}$.", "2", "wrong"),
    ("The answer is 2^10.", "2", "wrong"),
    ("The answer is -5.", "5", "wrong"),
    ("The answer is 5.", "-5", "wrong"),
    ("The answer is not 18.", "18", "wrong"),
    ("The answer is 5!", "5", "right"),
    ("The answer is 5 minutes.", "5 hours", "wrong"),
    ("The answer is 5 hours.", "5 hours", "right"),
    ("The answer is 5.", "5 hours", "right"),
    ("The answer is 300 minutes.", "5 hours", "right"),
    ("The answer is 5 hrs", "5 hours", "right"),
    ("The answer is 50 cents.", "$0.50", "right"),
    ("The answer is $50.", "50 cents", "wrong"),
    ("The answer is 5 cm.", "5 m", "wrong"),
    (r"\boxed{5\text{ cm}}", r"5\text{ m}", "wrong"),
    (r"\boxed{5\text{ cm}^2}", r"5\text{ cm}", "wrong"),
    ("The answer is €18", "$18", "wrong"),
    ("The answer is 18 dollars per day.", "$18", "right"),
    ("18", "18.0", "right"),
    ("18", "18.5", "wrong"),
    ("The answer is 0.333.", "1/3", "wrong"),
    ("The answer is 1/3.", "0.333", "wrong"),
    ("The answer is 1.0000000000000000001", "1", "wrong"),
    ("", "18", "wrong"),
    ("The answer is unknown.", "18", "wrong"),
    ("We get 18. The answer is unknown.", "18", "wrong"),
    ("Step 1: add.\n#### Step 2: Compute 3 + 4\nThe answer is 7.", "7", "right"),
    ("3 + 4 = 7\n#### 7", "7", "right"),
    ("... = 7 #### 7", "7", "right"),
    ("#### 1. Add\n3 + 4 = 7\n#### 2. Done\nThe answer is 7", "7", "right"),
    ("<think>The answer is 3.</think>\n\nThe answer is 4.", "4", "right"),
    ("The answer is 18. The answer is correct.", "18", "right"),
    ("The answer is 18.\n\nQ: What is 3?\nA: The answer is 3.", "18", "right"),
    ("The answer is 18.\n\n### Instruction: What is 3?\nThe answer is 3.", "18", "right"),
    ("The answer is 18.\nHuman: and 3?\nAssistant: The answer is 3.", "18", "right"),
    ("She has 18.\n\nQuestion: What is 3?\nAnswer: 3", "18", "right"),
    ("The answer is 18.<|im_end|>\n<|im_start|>user\nThe answer is 3", "18", "right"),
    ("The answer is 18.\n\nProblem: 2 dogs\nThe answer is 2.", "18", "right"),
    ("Let me restate it.\nProblem: 2 dogs and 16 cats.\nThe answer is 18.", "18", "right"),
    ("**Question:** 2 dogs and 16 cats?\n\n**Answer:** 18", "18", "right"),
    ("Question: 2 dogs?\nAnswer: 18", "18", "right"),
    ("18\n\nQ: next 3\nA: 3", "18", "right"),
    ("The answer is 18.\n\nUser: thanks 5", "18", "right"),
    ("Her answer: the answer is COVID-19", "2", "wrong"),
    ("Adding 3, 4 and 5 we have 12 in all", "12", "right"),
    ("It costs $5.", "5", "right"),
    ("The ratio is 1/2.", "1/2", "right"),
    ("The answer is (10 * 45).", "( 10.0 * 45.0 )", "right"),
    ("The answer is ((173 + 103) - 86).", "190", "right"),
    ("The answer is (10 - 3) * 2", "14", "right"),
    ("The answer is (some bags + 4 bags).", "4", "wrong"),
    ("The answer is (8 / 4) and (6 / 4).", "2", "wrong"),
    ("The answer is eleven.", "11", "right"),
    ("The answer is three hundred forty-six dollars.", "346", "right"),
    ("The answer is twelve thousand and seven", "12007", "right"),
    ("It is $31.55. So the answer is thirty-one point five five.", "31.55", "right"),
    ("It is $31.55. So the answer is thirty-one point five five.", "31", "wrong"),
    ("The answer is one half", "1", "wrong"),
    ("The answer is two thirds of it.", "2/3", "right"),
    ("The answer is three and a half hours.", "3.5", "right"),
    ("The answer is five or six.", "5", "wrong"),
    ("The answer is five minutes.", "5 hours", "wrong"),
    ("The answer is five hours.", "300 minutes", "right"),
    ("The answer is four of the 9 cats.", "9", "wrong"),
    ("The answer is seven-sided.", "7", "wrong"),
    ("We get 18. Therefore, the answer is not known.", "18", "wrong"),
    ("The answer is 18.\nStill, the answer cannot be known.", "18", "wrong"),
    ("The answer is 18. So the answer is not 20.", "18", "right"),
    ("The answer is not 20. It is 18", "18", "right"),
    ("The answer is: \n\n$200 + $30 * 4 = \n\n$200 + $120 = \n\n$320", "320", "right"),
    ("The answer is: \n\n$200 + $30 * 4 = \n\n$200 + $120 = \n\n$320", "200", "wrong"),
    (r"\boxed{(4,7)}", "4", "wrong"),
    (r"\boxed{4,7}", "4", "wrong"),
    (r"\boxed{8t - 3}", "8", "wrong"),
    (r"\boxed{x^3 - 2x + 9}", "9", "wrong"),
    (r"\boxed{3x + 4y - 7 = 0}", "0", "wrong"),
    ("The answer is a + b = 0", "0", "right"),
    ("So we have 3x - 12 = 0, so x = 4.", "4", "right"),
    ("The answer is 0.25 or 1/4.", "1/4", "right"),
    (r"\boxed{72{,}400{,}808}", "72400808", "right"),
    (r"The answer is $14 , \!400$.", "14400", "right"),
    (r"The answer is $22,\! 333,\! 444$.", "22333444", "right"),
    (r"The answer is $\$115,000$.", "115000", "right"),
    (r"The answer is $\$ 10$.", r"\$10", "right"),
    (r"\boxed{85\text{ feet}}", r"85\text{ feet}", "right"),
    ("\\boxed{35\\text{ square\nmeters}}", "35", "right"),
    (r"The answer is \$16,\!386.16", r"\$16,\!386.16", "right"),
    ("The answer is 0.6666666666666667.", "0.6666666666666666", "right"),
    ("The answer is 0.66666666.", "0.6666666666666666", "wrong"),
    ("The answer is one, two and three.", "1", "wrong"),
    ("The answer is two dozen eggs.", "24", "right"),
    ("The answer is two dozen eggs.", "2", "wrong"),
    ("The answer is twenty percent.", "20%", "right"),
    ("The answer is two plus two.", "2", "wrong"),
    ("The answer is six more than 4.", "6", "wrong"),
    ("The answer is ten minus 3.", "3", "wrong"),
    ("The answer is half of 8.", "8", "wrong"),
    ("The answer can't be 5.", "5", "wrong"),
]  # fmt: skip

OPTIONS = [
    ("The answer is (B).", "B", "right"),
    ("The answer is (B) neck.", "B", "right"),
    ("So the answer is B.", "(B)", "right"),
    ("The answer is (C).", "B", "wrong"),
    ("The answer is (B) or (C).", "B", "wrong"),
    ("The answer is B or C.", "B", "wrong"),
    ("The answer is not (B).", "B", "wrong"),
    ("Answer: B", "B", "right"),
    (r"\boxed{B}", "B", "right"),
    (r"\boxed{\text{(B)}}", "B", "right"),
    (r"\boxed{\textbf{(B)}\ 21}", "B", "right"),
    ("**Answer: (B)**", "B", "right"),
    ("The correct option is B", "B", "right"),
    ("The correct answer choice is (B).", "B", "right"),
    ("Therefore, (B) is right.", "B", "right"),
    ("B", "B", "right"),
    ("(B)", "b", "right", {"choices": CHOKER}),
    ("The answer is B12.", "B", "wrong"),
    ("The answer is 21.", "A", "right", {"choices": MEASURES}),
    ("The answer is (A)21", "A", "right", {"choices": MEASURES}),
    ("The answer is A)21", "A", "right", {"choices": ("A)21", "B)21.5")}),
    ("The answer is 21.5", "A", "wrong", {"choices": MEASURES}),
    ("The answer is 21.5", "B", "right", {"choices": MEASURES}),
    ("The answer is 2.5.", "A", "wrong", {"choices": ("5", "9")}),
    ("The answer is 1/2.", "A", "wrong", {"choices": ("2", "5")}),
    ("The answer is $22 per day", "22", "right", {"choices": MEASURES}),
    ("The answer is F", "F", "unverifiable", {"choices": MEASURES}),
    ("The answer is B", "violet", "unverifiable", {"choices": CHOKER}),
    ("The answer is neck.", "neck", "right", {"choices": CHOKER}),
    ("The answer is neck.", "b", "right", {"choices": CHOKER}),
    ("The answer is a box because a neck is no box", "c", "right", {"choices": CHOKER}),
    ("The answer is neck or box", "b", "wrong", {"choices": CHOKER}),
    ("So the answer is (b) because (a) is too far.", "b", "right", {"choices": CHOKER}),
    ("So the answer is (b) because (a) is too far.", "a", "wrong", {"choices": CHOKER}),
    ("It is (A).", "A", "right", {"question": "Which? (A) x (B) y"}),
    ("The answer is Option C", "C", "right"),
    ("Among A through E, the answer is A, small dog.", "A", "right"),
    ("The answer is most likely B, a neck.", "b", "right", {"choices": CHOKER}),
    ("The answer is most likely to be D, boutique.", "d", "right", {"choices": CHOKER}),
    ('The answer is probably "B: neck."', "b", "right", {"choices": CHOKER}),
    ("The answer is b, neck.", "b", "right", {"choices": CHOKER}),
    ("The answer is unlikely B.", "B", "wrong"),
    ("The answer is most likely E.", "E", "right"),
    ("The answer is A, B, or C.", "A", "wrong"),
    ("The answer is either A or B.", "A", "wrong"),
    ("The answer is A (far) and B (near).", "A", "wrong"),
    ("The answer is B, near; D, far; or E, away.", "B", "wrong"),
    ("The answer is (A), (C), and (D).", "A", "wrong"),
    ("The answer is A small dog.", "A", "wrong"),
    ("If we look at (b) with all that was said above, it is one of the places for", "b", "wrong", {"choices": CHOKER}),
    ("The answer is C.\nYet the answer is not known.", "C", "wrong"),
    ("The answer is 21.", "b", "right", {"choices": ("A) 20", "B) 21")}),
    ("The answer is C", "A", "right", {"choices": ("A) 21", "B) 20", "C) 21.0")}),
    ("The answer is C", "A", "right", {"choices": ("21", "20", "21.0")}),
]  # fmt: skip

YES_OR_NO = [
    ("So the answer is yes.", "yes", "right"),
    ("So the answer is no.", "yes", "wrong"),
    ("The answer is Yes", "yes", "right"),
    ("Therefore, the answer (Yes or No) is No.", "no", "right"),
    ("The answer is that there is no way to know.", "no", "wrong"),
    ("The answer is no one knows", "no", "wrong"),
    ("The answer is yes or no.", "yes", "wrong"),
    ("The answer is not yes.", "yes", "wrong"),
    ("True", "yes", "right"),
    ("The statement is false.", "no", "right"),
    ("The answer is **No**, the coin is tails up.", "no", "right"),
    (r"\boxed{\text{No}}", "No", "right"),
    ("The coin is still heads up. So the answer is yes.\n\nQ: A coin?\nA: So the answer is no.", "yes", "right"),
    ("Thus, yes.", "Yes", "right"),
    ("I have no idea.", "no", "wrong"),
    ("No", "maybe", "unverifiable", {"kind": "yes_no"}),
    ("Yes and no.", "yes", "wrong"),
    ("The answer is unknown", "no", "wrong"),
    ("The answer (Yes or No) is not known.", "yes", "wrong"),
    ("The answer (Yes or No) is not known.", "no", "wrong"),
    ("The answer (Yes or No) is the same in every town. \n\nNo", "no", "right"),
    ("The answer (Yes or No) comes below.\n\nThe answer is followed by a reason.\n\nYes, it does.", "yes", "right"),
    ("The answer is given below.\n\nYes, if it rains.\nNo, if it does not.", "yes", "wrong"),
    ("The answer is typically no, as it is cold.", "no", "right"),
    ("The answer is likely to be yes.", "yes", "right"),
    ("The answer is unlikely to be yes.", "yes", "wrong"),
    ("It seems the answer is yes.\nStill, the answer (Yes or No) is not so simple.", "yes", "wrong"),
    ("The answer is yes. So the answer is not no.", "yes", "right"),
]  # fmt: skip

DATES = [
    ("The answer is 05/01/2021.", "05/01/2021", "right"),
    ("The answer is May 1, 2021.", "05/01/2021", "unverifiable"),
    ("The answer is May 1, 2021.", "05/01/2021", "right", {"question": "the date in MM/DD/YYYY"}),
    ("The answer is January 5, 2021.", "05/01/2021", "wrong", {"question": "the date in MM/DD/YYYY"}),
    ("The answer is May 25, 2021.", "05/25/2021", "right"),
    ("The answer is 25 May 2021.", "2021-05-25", "right"),
    ("The answer is 2021-05-25", "May 25th, 2021", "right"),
    ("The answer is 5/25/2021", "05/25/2021", "right"),
    ("The answer is 5/26/2021", "05/25/2021", "wrong"),
    ("The answer is 04/03/2021", "03/04/2021", "wrong"),
    ("The answer is 3/4/2021", "03/04/2021", "right"),
    ("Today is Tuesday, May 25, 2021.", "05/25/2021", "right"),
    ("The answer is May 25.", "May 25, 2021", "wrong"),
    ("The answer is May 25", "25 May", "right"),
    ("The answer is blue", "blue", "unverifiable", {"kind": "date"}),
    ("The answer is May 25 or May 26, 2021", "May 26, 2021", "wrong"),
    ("04.03.2021", "4 March 2021", "right"),
    ("The answer is the 4th of March 2021", "March 4, 2021", "right"),
    ("12/31/1999", "December 31, 1999", "right"),
]  # fmt: skip

LISTS = [
    ("The answer is (1, 2].", "(1, 2]", "right"),
    ("The answer is (1, 2).", "(1, 2]", "wrong"),
    ("The answer is [1, 2].", "(1, 2)", "wrong"),
    (r"\boxed{(1,2)}", "(1, 2)", "right"),
    (r"\boxed{\left(1, \frac{1}{2}\right)}", "(1, 0.5)", "right"),
    (r"\boxed{(2,1)}", "(1,2)", "wrong"),
    (r"\boxed{\{2, 1\}}", r"\{1, 2\}", "right"),
    (r"\boxed{\{1, 3\}}", r"\{1, 2\}", "wrong"),
    ("The answer is {2, 1}.", "{1,2}", "right"),
    ("The answer is 1, 2, 3.", "1, 2, 3", "right"),
    ("The answer is 3, 2, 1.", "1, 2, 3", "wrong"),
    ("The answer is 3, 2, 1.", "1, 2, 3", "right", {"kind": "set"}),
    ("The answer is [1, 2, 3].", "[1,2,3]", "right"),
    ("The answer is 1, 2 and 3.", "[1, 2, 3]", "right"),
    ("The answer is [1, 2].", "[1, 2, 3]", "wrong"),
    ("The answer is ['a', 'b'].", '["a", "b"]', "right"),
    ("The answer is apple, banana", "banana, apple", "right", {"kind": "set"}),
    ("The answer is apple, banana", "banana, apple", "wrong", {"kind": "list"}),
    (r"x \in [0, 1)", "[0,1)", "right"),
    (r"The answer is $x \in [0, 1)$.", "[0,1)", "right"),
    (r"\boxed{(x+1, 2)}", "(1+x, 2)", "right"),
    (r"\boxed{(-\infty, 2)}", r"(-\infty,2)", "right"),
    (r"\boxed{(-\infty, 2]}", r"(-\infty,2)", "wrong"),
    ("The answer is (1, 2).", "{1, 2}", "wrong"),
    ("The answer is 1, 2", "(1, 2)", "wrong"),
    (r"\boxed{1,000}", "1000", "right"),
    (r"\boxed{1, 1000}", "1, 1000", "right"),
    (r"\boxed{(100,200)}", "(100, 200)", "right"),
    (r"\boxed{\{1, 1, 2\}}", r"\{1, 2\}", "right"),
]  # fmt: skip

EXPRESSIONS = [
    (r"\boxed{x^2+1}", "x^2+1", "right"),
    (r"\boxed{1+x^2}", "x^2+1", "right"),
    (r"\boxed{\frac{\pi}{2}}", r"\pi/2", "right"),
    (r"\boxed{3\sqrt{2}}", r"3\sqrt{2}", "right"),
    ("The answer is sqrt(2).", r"\sqrt{2}", "right"),
    (r"\boxed{\begin{pmatrix}1&2\\3&4\end{pmatrix}}", r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "right"),
    ("The answer is the sum of all", "x + 1", "wrong"),
    ("anything", r"\frac{1}{", "unverifiable"),
    (r"\boxed{4}", r"\sqrt{16}", "right"),
    (r"\boxed{\sqrt{16}}", "4", "right"),
    (r"\boxed{16\pi}", r"16\pi", "right"),
    (r"\boxed{y = 2x + 3}", "y=2x+3", "right"),
    (r"\boxed{x \le 3}", r"x \le 3", "right"),
]  # fmt: skip

TEXTS = [
    ("The answer is George Washington.", "george washington", "right"),
    ("The answer is the Eiffel Tower.", "Eiffel Tower", "right"),
    ("The answer is Washington", "Lincoln", "wrong"),
    (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", "right"),
    (r"\boxed{\text{Evelyn}}", "Evelyn", "right"),
    ('The answer is "yajo".', "yajo", "right"),
    ("The answer is yajo.", "yajc", "wrong"),
    ("The answer is the Eiffel Tower because it is tall.", "the Eiffel Tower", "right"),
    ("Paris", "paris", "right"),
    ("Answer: Mr. Smith", "Mr. Smith", "right"),
    ("The answer is 3 pm.", "3 pm", "right"),
    ("The answer is 3 am.", "3 pm", "wrong"),
    ("The answer is H2O", "H2O", "right"),
    ("The answer is 3-4", "3-4", "right"),
    ("The answer is Paris or Rome", "Paris", "wrong"),
    (r"\boxed{\text{east}}", r"\text{west}", "wrong"),
    ("The answer is not Paris.", "Paris", "wrong"),
    ("The answer is 18.", None, "unverifiable"),
    ("no", "", "unverifiable"),
    ("abc", "abc", "unverifiable", {"kind": "number"}),
    ("The answer is ] ).", "] )", "right"),
    ("The answer is )].", ") ]", "right"),
    ("The answer is ).", "] )", "wrong"),
    ("The answer is } > ).", "} >", "wrong"),
    ("The answer is }.", "} } }", "wrong"),
    ("So the answer is valid.", "valid", "right"),
    ("So the answer is invalid.", "valid", "wrong"),
    ("The answer is Rome. The answer is correct.", "Rome", "right"),
    ('The answer is "n o s e".', "nose", "right"),
    ("The answer is n, o, s, e", "nose", "right"),
    ("The answer is n o s", "nose", "wrong"),
    ("The answer is 7 Up.", "7 Eleven", "wrong"),
    ("The answer is 7 apples.", "7 Apples", "right"),
    ("The answer is 7-Eleven.", "7 Eleven", "right"),
    ("The answer is 7 apples.", "7 Apples", "right", {"question": "How many are there?"}),
]  # fmt: skip

# what stands beside a number
COMPANY = [
    ("The answer is 3 hours 30 minutes.", "3 hours", "wrong"),
    (r"\boxed{3 \text{ hours } 30 \text{ minutes}}", "3 hours", "wrong"),
    ("It took 3 hours 30 minutes.", "3 hours", "wrong"),
    ("The answer is 3 hours and 30 minutes.", "3 hours", "wrong"),
    ("The answer is 3 hours 30 minutes.", "3", "wrong"),
    (r"\boxed{3 \text{ hours } 30 \text{ minutes}}", "3", "wrong"),
    ("The answer is 3 hours and 30 minutes.", "3", "wrong"),
    ("The answer is 2 dollars 50 cents.", "$2", "wrong"),
    ("The answer is 2 dollars 50 cents.", "2", "wrong"),
    ("The answer is 2 dollars and 50 cents.", "2", "wrong"),
    ("The answer is 5 feet 2 inches.", "5", "wrong"),
    ('The answer is 5\'2".', "5", "wrong"),
    (r"\boxed{5'2''}", "5", "wrong"),
    ("The answer is 5 R2.", "5", "wrong"),
    ("The answer is 5 R 2.", "5", "wrong"),
    (r"\boxed{5\text{ R }2}", "5", "wrong"),
    ("The answer is 5 remainder 2.", "5", "wrong"),
    ("The answer is 5 and a half.", "5", "wrong"),
    ("The answer is 5 ½.", "5", "wrong"),
    ("The answer is 5½", "5", "wrong"),
    ("The answer is negative 5.", "5", "wrong"),
    ("The answer is minus 5.", "5", "wrong"),
    (r"\boxed{\text{negative }5}", "5", "wrong"),
    ("The answer is 5 bn.", "5", "wrong"),
    ("The answer is $5M.", "5", "wrong"),
    ("The answer is 5M.", "5", "wrong"),
    ("The answer is $5 bn", "5", "wrong"),
    ("The answer is at most 5.", "5", "wrong"),
    ("The answer is under 5.", "5", "wrong"),
    ("The answer is x > 5.", "5", "wrong"),
    (r"\boxed{x > 5}", "5", "wrong"),
    ("The answer is more than 5.", "5", "wrong"),
    ("The answer is less than 5", "5", "wrong"),
    ("The answer is 5 less than 8.", "5", "wrong"),
    ("The answer is 5 times 3.", "5", "wrong"),
    ("The answer is 5 squared.", "5", "wrong"),
    ("The answer is 5 cubed", "5", "wrong"),
    ("The answer is 5 plus 3", "5", "wrong"),
    ("The answer is 5 minus 3", "5", "wrong"),
    ("The answer is 5 over 3", "5", "wrong"),
    ("The answer is 5 divided by 3", "5", "wrong"),
    ("The answer is over 5", "5", "wrong"),
    ("The answer is fewer than 5 apples", "5", "wrong"),
    ("The answer is ≥ 5", "5", "wrong"),
    (r"\boxed{x \ge 5}", "5", "wrong"),
    (r"\boxed{\geq 5}", "5", "wrong"),
    (r"\boxed{> 5}", "5", "wrong"),
    ("The answer is 5 or more.", "5", "wrong"),
    ("The answer is no more than 5.", "5", "wrong"),
    ("The answer is 5 to the power of 3", "5", "wrong"),
    ("The answer is negative 5.", "-5", "right"),
    ("The answer is minus 5.", "-5", "right"),
    (r"\boxed{\text{negative }5}", "-5", "right"),
    ("The answer is -5.", "-5", "right"),
    ("The answer is negative five", "-5", "right"),
    ("minus 5", "-5", "right"),
    ("The answer is 18 remainder 2.", "18", "wrong"),
    ("The answer is at least 18.", "18", "wrong"),
    ("The answer is > 18.", "18", "wrong"),
    (r"\boxed{x > 18}", "18", "wrong"),
    ("The answer is 18 more than 5.", "18", "wrong"),
    (r"\boxed{18!}", "18", "wrong"),
    (r"\boxed{18_8}", "18", "wrong"),
    ("The answer is 18!!", "18", "wrong"),
    ("$18!$", "18", "wrong"),
    (r"\boxed{18_{8}}", "18", "wrong"),
    (r"\boxed{10!}", "10", "wrong"),
    (r"\boxed{10_2}", "10", "wrong"),
    ("The answer is $10_2$.", "10", "wrong"),
    ("The answer is 12 345.", "12", "wrong"),
    ("The answer is before 5 January 2021.", "2021-01-05", "wrong"),
    (r"\boxed{(1,234)}", "1234", "wrong"),
    (r"\boxed{\{1,234\}}", "1234", "wrong"),
    (r"\boxed{[1,234]}", "1234", "wrong"),
    ("The answer is nearly 18.", "18", "right"),
    ("The answer is about 18.", "18", "right"),
    ("The answer is 18!", "18", "right"),
    ("The answer is 18 apples.", "18", "right"),
    ("The answer is 18 in total.", "18", "right"),
    ("The answer is 18 more apples.", "18", "right"),
    ("The answer is 18 miles per hour.", "18", "right"),
    ("The answer is 18 of the 20 apples.", "18", "right"),
    ("The answer is exactly 18, which is 2 more than 16.", "18", "right"),
    ("The answer is 18, since 9*2=18.", "18", "right"),
    ("The answer is 18 times.", "18", "right"),
    ("The answer is 18 less.", "18", "right"),
    ("The answer is 18 apples (9 each).", "18", "right"),
    ("The answer is 18 years old in 2021.", "18", "right"),
    ("The answer is 18 for the 3 days.", "18", "right"),
    ("The answer is 18 minutes.", "18", "right"),
    ("The answer is 18 apples and he has 3 left.", "18", "right"),
    ("The answer is 18 m.", "18", "right"),
    ("The answer is 18 apples left over.", "18", "right"),
    ("The answer is 18. She is over 5.", "18", "right"),
    ("It takes 18 more than once.", "18", "right"),
    ("The answer is 18 more apples than Tom.", "18", "right"),
    ("The answer is 18 fewer", "18", "right"),
    ("The answer is 18 points over the season", "18", "right"),
    ("At least 2 fit, so the answer is 5.", "5", "right"),
    ("There are 5 left.", "5", "right"),
    ("x > 3 and so the answer is 5", "5", "right"),
    ("The answer is x = 5", "5", "right"),
    ("He needs at least 5.", "5", "right"),
]  # fmt: skip

TAKEN_BACK = [
    ("I first thought the answer is 18, but that is wrong; it must be 20.", "18", "wrong"),
    ("The answer is 18. Actually, it's 20.", "18", "wrong"),
    ("The answer is 18. Correction: 20.", "18", "wrong"),
    ("The answer is 18? No, 20.", "18", "wrong"),
    ("The answer is 18, no, 20.", "18", "wrong"),
    ("The answer is 18. But that cannot be right, so I give up.", "18", "wrong"),
    (r"\boxed{18} No, the answer is 20.", "18", "wrong"),
    ("<answer>18</answer> No: the answer is 20.", "18", "wrong"),
    ("#### 18\nWait, the answer is 20.", "18", "wrong"),
    ("It is wrong to say the answer is 18.", "18", "wrong"),
    ("18 is not the answer.", "18", "wrong"),
    ("If the answer is 18, then we get a contradiction.", "18", "wrong"),
    ("Is the answer 18?", "18", "wrong"),
    ("I don't know the answer. There were 18.", "18", "wrong"),
    ("So it is 20. Hmm, or 18?", "18", "wrong"),
    (r"So \boxed{18}. Wait, that's wrong. It is \boxed{20}.", "18", "wrong"),
    ("It is not true that the answer is 18.", "18", "wrong"),
    ("The answer is 18. Actually, I am not sure.", "18", "wrong"),
    ("The answer is 18.\n\nWait, that's not right. Let me recompute: 4 * 5 = 20.", "18", "wrong"),
    ("The answer is 18. Actually, it's 20.", "20", "right"),
    ("The answer is 18. Correction: 20.", "20", "right"),
    ("The answer is 18? No, 20.", "20", "right"),
    ("The answer is 18, no, 20.", "20", "right"),
    (r"\boxed{18} No, the answer is 20.", "20", "right"),
    ("<answer>18</answer> No: the answer is 20.", "20", "right"),
    ("#### 18\nWait, the answer is 20.", "20", "right"),
    ("I first thought the answer is 18, but that is wrong; it must be 20.", "20", "right"),
    (r"\boxed{20}. Wait, let me check: 4 * 5 = 20. Yes, so \boxed{20}.", "20", "right"),
    ("The answer is 18. No other number fits.", "18", "right"),
    ("The answer is 18. Actually, that is what we expected.", "18", "right"),
    ("The answer is 18, not 20.", "18", "right"),
    ("The answer is 18. No, really.", "18", "right"),
    ("The answer is 18. Wait for the next question.", "18", "right"),
    (r"\boxed{18}. Wait, let me double check: 9*2 = 18. Yes.", "18", "right"),
    ("The answer is 18. Hmm, let me check. 9*2 = 18.", "18", "right"),
    ("Yes. Actually, no.", "yes", "wrong"),
    ("It is not true that the answer is yes.", "yes", "wrong"),
    ("The answer is yes, I think not.", "yes", "wrong"),
    ("The answer is yes in some cases and no in others.", "yes", "wrong"),
    ("The answer is yes. Actually, no.", "yes", "wrong"),
    ("The answer is yes. Wait, the answer is no.", "yes", "wrong"),
    ("The answer is yes. Actually, no.", "no", "right"),
    ("Yes. Actually, no.", "no", "right"),
    ("The answer is (e) sincere. Actually no, that is wrong; it is (a) excellent.", "e", "wrong", {"choices": SINCERE}),
    ("The answer is (e) sincere. Actually no, that is wrong; it is (a) excellent.", "a", "right", {"choices": SINCERE}),
    ("The answer is \n\nThe answer is $950.", "950", "right"),
]  # fmt: skip

UNITS_AND_WRITINGS = [
    ("The answer is 18 USD", "18 EUR", "wrong"),
    ("The answer is 18 yen", "$18", "wrong"),
    ("The answer is 18 rupees", "$18", "wrong"),
    ("The answer is 18 EUR", "$18", "wrong"),
    ("The answer is 18 °C.", "18 °F", "wrong"),
    ("The answer is 18 degrees Celsius.", "18 degrees Fahrenheit", "wrong"),
    ("The answer is 18 °C", "18 degrees Fahrenheit", "wrong"),
    ("The answer is 5 km/h", "5 mph", "wrong"),
    ("The answer is 5 m/s", "5 m", "wrong"),
    (r"\boxed{5\text{ m/s}}", "5 m", "wrong"),
    ("The answer is 18 °C", "18 degrees Celsius", "right"),
    ("The answer is 18 degrees.", "18 degrees Celsius", "right"),
    ("The answer is 18", "18 degrees Celsius", "right"),
    ("The answer is 5 miles per hour", "5 mph", "right"),
    ("The answer is 5 miles/hour", "5 mph", "right"),
    ("The answer is 5", "5 mph", "right"),
    ("The answer is 5 meters per second", "5 m/s", "right"),
    ("The answer is 5.", "5 m/s", "right"),
    ("The answer is 18 dollars per day.", "$18", "right"),
    ("The answer is 18 USD", "$18", "right"),
    ("The answer is $18 per hour", "$18", "right"),
    ("The answer is $18.", "18 dollars per hour", "right"),
    ("The answer is $18/hour", "18 dollars per hour", "right"),
    ("<think>The answer is 18.", "18", "wrong"),
    ("N/A", "N/A", "unverifiable"),
    ("The answer is N/A.", "N/A", "unverifiable"),
    ("The answer is unknown.", "unknown", "unverifiable"),
    ("18", "unknown", "unverifiable"),
    ("The answer is nan.", "nan", "unverifiable"),
    ("18", "nan", "unverifiable"),
    ("The answer is TBD.", "TBD", "unverifiable"),
    ("18", "TBD", "unverifiable"),
    ("The answer is None.", "None", "unverifiable"),
    ("18", "None", "unverifiable"),
    ("The answer is 1'000.", "1000", "right"),
    ("The answer is 1’000.", "1000", "right"),
    ("The answer is 2 dollars and 50 cents.", "$2.50", "right"),
    ("The answer is 2 dollars 50 cents", "$2.50", "right"),
    ("The answer is 5 * 10**3.", "5000", "right"),
    ("The answer is 50.", "50%", "right"),
    ("It is 50.", "50%", "right"),
    ("The answer is 3 hours 30 minutes.", "3.5 hours", "right"),
    ("The answer is 3 hours and 30 minutes.", "3.5 hours", "right"),
    ("The answer is 5 feet 2 inches.", "62 inches", "right"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [*COMPANY, *TAKEN_BACK, *UNITS_AND_WRITINGS, *NUMBERS, *OPTIONS, *YES_OR_NO, *DATES, *LISTS, *EXPRESSIONS, *TEXTS],
    ids=lambda case: f"{case[0][-40:]}|{case[1]}",
)
def test_a_text_is_judged_by_what_it_answers(case: tuple[Any, ...]) -> None:
    text, gold, outcome, *more = case
    assert judge(text, gold, **(more[0] if more else {})).outcome == outcome


@pytest.mark.parametrize(
    ("text", "gold", "rule"),
    [
        ("<answer>18</answer>", "18", "tagged"),
        (r"It is \boxed{18}.", "18", "boxed"),
        ("9 * 2 = 18\n#### 18", "18", "hashes"),
        ("So the answer is 18.", "18", "phrase"),
        ("9 * 2 = 18\nA: 18", "18", "last_line"),
        ("First (a) falls away.\nThat leaves (b).", "b", "letter"),
        ("It is warm there.\nSo yes, it is.", "yes", "polar"),
        ("She makes 18 dollars.", "18", "last_number"),
        ("He left on May 1st.\nHe came back on May 25, 2021.", "25 May 2021", "last_date"),
        ("We solve it in a few lines.\nTherefore $x = \\pi^2$.", r"x = \pi^2", "last_formula"),
        ("Paris", "Paris", "whole"),
        ("I do not know what to say about this long and winding question, so I shall not.", "Paris", "none"),
    ],
)
def test_the_verdict_names_the_rule_that_found_the_answer(text: str, gold: str, rule: str) -> None:
    verdict = judge(text, gold, ("neck", "box") if gold == "b" else None)
    assert (verdict.rule, verdict.outcome) == (rule, "wrong" if rule == "none" else "right")


def test_the_example_of_the_documentation() -> None:
    assert judge(r"9 * 2 = 18, so she makes \boxed{18} dollars.", "18") == Verdict("18", "right", "boxed")


def test_without_gold_the_answer_is_found_and_unverifiable() -> None:
    assert judge("The answer is 18 dollars.") == Verdict("18", "unverifiable", "phrase")


def test_gold_may_be_a_number() -> None:
    assert judge("The answer is 18.", 18.0).outcome == "right"


def test_half_a_character_is_no_fault() -> None:
    assert judge("The answer is \ud800.", "\ud800", ("\ud800", "b"), question="\udfff").outcome == "right"


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("18", "number"), ("$1,000.00", "number"), ("1/2", "number"), ("50 %", "number"), ("2 1/2", "number"),
        ("( 10.0 * 45.0 )", "number"), ("18 dollars", "number"), (r"\frac{3}{4}", "number"), ("x = 5", "number"),
        ("yes", "yes_no"), ("False", "yes_no"), ("B", "choice"), ("(D)", "choice"), ("05/01/2021", "date"),
        ("May 5", "date"), ("2021-05-01", "date"), ("(1, 2]", "list"), ("1, 2, 3", "list"), ("[1,2]", "list"),
        (r"\{1, 2\}", "set"), ("{1,2}", "set"), ("x + 1", "expression"), (r"\sqrt{2}", "expression"),
        ("2x", "expression"), (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", "expression"), ("2pi", "expression"),
        ("paris", "text"), ("3 pm", "text"), ("COVID-19", "text"), ("May", "text"), ("Washington, D.C.", "text"),
        ("apple, banana", "text"), ("yajo", "text"), (r"\text{east}", "text"), ("1 0\n0 1", "text"), (None, None),
    ],
)  # fmt: skip
def test_the_kind_is_seen_from_the_gold_answer(gold: str | None, kind: str | None) -> None:
    assert kind_of(problem(gold)) == kind


def test_a_kind_that_is_named_is_not_inferred() -> None:
    assert kind_of(problem("18", answer_kind="text")) == "text"
    assert kind_of(problem("18", ("17", "18"))) == "choice"
    assert kind_of(problem("18", tests=("assert True",))) == "code"


def test_what_only_a_worker_can_tell_is_a_question() -> None:
    assert decide("1 + x", problem("x + 1")) == Question("math_verify", "equal", ("x + 1", "1 + x"))
    assert decide(None, problem("x + 1")) == Question("math_verify", "equal", ("x + 1", ""))
    assert decide("(1 + x, 2)", problem("(x + 1, 2)")) == Question("math_verify", "equal", ("x + 1", "1 + x"))
    asked = decide("print(5)", problem(tests=("assert f(2) == 4", InputOutput(input="", output="5"))))
    assert asked == Question("sandbox", "tests", ("print(5)", ["assert f(2) == 4", {"input": "", "output": "5"}]))
    own = problem("5", scorer="python:mine.py:same@00")
    assert decide("5", own, text="It is 5.") == Question("python", "own", ("python:mine.py:same@00", "It is 5.", "5"))
    countdown = problem("(1 + 2) * 3", scorer="reasoning_gym:countdown", metadata={"target": 9})
    question = decide("9", countdown)
    assert isinstance(question, Question) and question.arguments[:3] == ("countdown", "{}\n", "9")
    assert decide("( 1 + 2 ) * 3.", problem("( 1 + 2 ) * 3", scorer="reasoning_gym:countdown")) == "right"


def test_code_is_the_last_block_and_judged_by_its_tests() -> None:
    reply = "First:\n```python\nx = 1\n```\nBetter:\n```python\ndef f(x):\n    return 2 * x\n```\nDone."
    verdict = judge(reply, tests=("assert f(2) == 4",))
    assert verdict == Verdict("def f(x):\n    return 2 * x", "right", "code_block")
    assert judge(reply, tests=("assert f(2) == 5",)).outcome == "wrong"
    assert judge(reply, kind="code").outcome == "unverifiable"


@pytest.mark.parametrize(
    ("name", "right"), [("cqa-train", 7234), ("cqa-test", 943), ("svamp-train", 586), ("svamp-test", 148)]
)
def test_the_parser_of_distilling_step_by_step_reaches_its_counts(name: str, right: int) -> None:
    rows = list(real(f"palm/{name}.jsonl"))
    assert sum(_right_in_the_paper(row) for row in rows) == right


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [("cqa-train", 110, 0), ("cqa-test", 16, 1), ("svamp-train", 10, 1), ("svamp-test", 7, 0)],
)
def test_each_row_on_which_the_paper_and_we_differ_is_known(name: str, ours: int, theirs: int) -> None:
    """Ours right and the paper's wrong, and the other way; the ids are printed (`pytest -s`)."""
    differing: dict[str, list[str]] = {"ours": [], "paper": []}
    for row in real(f"palm/{name}.jsonl"):
        is_ours = judge(row["completion"], _gold(row), row.get("choices")).outcome == "right"
        if is_ours != _right_in_the_paper(row):
            differing["ours" if is_ours else "paper"].append(row["id"])
    print(name, differing)
    assert (len(differing["ours"]), len(differing["paper"])) == (ours, theirs)


@pytest.mark.parametrize(
    ("text", "gold", "phrase", "found"),
    [
        (" 5 apples, as 2 + 3 = 5 and 7 is more.", "5", None, "5"),
        ("So 2 + 3 = 5. The answer is 5 of 8.", "5", "The answer is", "5"),
        ("First 2, then 3, so 1,005 in all.", "5", "The answer is", "1005"),
        (" (C) because A is too far", "C", None, "C"),
        ("A or B? It is B", "B", "The answer is", "B"),
        ("The answer is Yes, not no.", "yes", "The answer is", "yes"),
        (' "yajo".', "yajo", None, "yajo"),
        ("None.", "5", None, None),
    ],
)
def test_the_first_candidate_after_a_phrase_the_last_one_without(
    text: str, gold: str, phrase: str | None, found: str | None
) -> None:
    assert first_or_last(text, problem(gold, question="(A) x, (B) y, (C) z"), phrase) == found


def test_three_answerers_of_subquestions_reach_their_shares() -> None:
    """Llama runs on into invented problems, so its share is a little above that of a reading of the last number."""
    right: Counter[str] = Counter()
    for row in real("subquestions/gsm8k-test.jsonl"):
        for name, text in row["answers"].items():
            right[name] += judge(text, row["gold"]).outcome == "right"
    assert right == {"chatgpt": 896, "llama13b": 465, "llama7b": 306}


KINDS_OF_TASKS = {
    **dict.fromkeys(("addsub", "multiarith", "single_eq", "svamp"), "number"),
    **dict.fromkeys(("commonsense_qa", "date_understanding", "tracking_shuffled_objects"), "choice"),
    **dict.fromkeys(("coin_flip", "strategy_qa"), "yes_no"),
    "last_letter_concatenation": "text",
}
PHRASINGS = (
    "First this, then that. The answer is {}.",
    "So the answer is {}",
    "Therefore, the answer is **{}**.\n\nQ: And now?\nA: The answer is 7.",
    "9 * 2 is easy.\n#### {}",
    r"We get $\boxed{{{}}}$.",
    "Some steps here.\nA: {}",
    "{}",
)


@pytest.mark.parametrize("task", KINDS_OF_TASKS)
def test_every_gold_answer_of_the_ten_tasks_is_right_and_another_is_wrong(task: str) -> None:
    rows = list(real(f"fine-tune-cot/{task}.jsonl"))
    for place, (row, other) in enumerate(zip(rows, [*rows[1:], rows[0]], strict=True)):
        gold, question, phrasing = row["answer"], row["question"], PHRASINGS[place % len(PHRASINGS)]
        assert kind_of(problem(gold, question=question)) == KINDS_OF_TASKS[task]
        assert judge(phrasing.format(gold), gold, question=question).outcome == "right", (phrasing, gold)
        if normalise(other["answer"]) != normalise(gold):
            assert judge(phrasing.format(other["answer"]), gold, question=question).outcome == "wrong", (phrasing, gold)


@pytest.mark.parametrize("name", ["train", "test", "test_socratic"])
def test_solutions_of_gsm8k_are_right_by_their_own_last_line(name: str) -> None:
    for row in real(f"gsm8k/{name}.jsonl"):
        gold = row["answer"].rpartition("#### ")[2]
        assert judge(row["answer"], gold) == Verdict(gold, "right", "hashes")


def test_two_real_traces_of_r1_are_read_after_their_thoughts() -> None:
    for row in real("r1/gsm8k-two-traces.jsonl"):
        assert (judge(row["response"], row["gold"]).outcome == "right") == row["correct"]


def _gold(row: Row) -> str:
    gold: str = row.get("gold") or row["gold_equation"]
    return gold


def _right_in_the_paper(row: Row) -> bool:
    return distilled_right(row["completion"], _gold(row), tuple(row.get("choices", ())))


def test_a_function_of_ones_own_is_a_kind() -> None:
    def ends_with(text: str, answer: str | None) -> bool | None:
        return None if answer is None else text.endswith(answer)

    assert judge("In short: blue", "blue", kind=ends_with).outcome == "right"
    assert judge("In short: blue", "red", kind=ends_with).outcome == "wrong"
    assert judge("In short: blue", None, kind=ends_with).outcome == "unverifiable"
