"""Each fault: what has it, and what only looks like it."""

import base64
import random
import string
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.faults import form, language, leaks, loops, refusals, secrets, stated
from pipeline.faults.language import other_language, passages
from pipeline.faults.loops import repeated_share
from pipeline.prompt import Prompt
from pipeline.rows import Problem
from tests.made import solution

PLACES = ("british columbia", "body of water", "wooded area", "pay debts", "zoo")
ENGLISH = (
    "First we need to find how many eggs are left each day. The ducks lay sixteen eggs, she eats three of them for "
    "breakfast and uses four for the muffins, so there are nine eggs that she sells at the market."
)
FOREIGN = {
    "German": "Zuerst berechnen wir, wie viele Eier am Tag übrig bleiben. Die Enten legen sechzehn Eier, drei davon "
    "isst sie zum Frühstück und vier verwendet sie für die Muffins. Es bleiben also neun Eier, die sie auf dem Markt "
    "für zwei Dollar das Stück verkauft.",
    "French": "D'abord, nous devons calculer combien d'œufs il reste chaque jour. Les canes pondent seize œufs, elle "
    "en mange trois au petit déjeuner et en utilise quatre. Il reste donc neuf œufs qu'elle vend au marché.",
    "Spanish": "Primero tenemos que calcular cuántos huevos quedan cada día. Los patos ponen dieciséis huevos, ella "
    "come tres en el desayuno y usa cuatro para los pasteles. Por lo tanto quedan nueve huevos.",
    "Russian": "Сначала нужно посчитать, сколько яиц остаётся каждый день. Утки несут шестнадцать яиц, три она съедает "
    "на завтрак, а четыре использует для кексов. Значит, остаётся девять яиц, которые она продаёт.",
    "Chinese": "首先我们需要计算每天剩下多少个鸡蛋。鸭子每天下十六个蛋，她早餐吃三个，做松饼用四个。所以还剩九个鸡蛋。",
    "Japanese": "まず、毎日いくつの卵が残るかを計算する必要があります。アヒルは十六個の卵を産み、朝食に三個食べます。",
    "Arabic": "أولا يجب أن نحسب عدد البيض المتبقي كل يوم. البط يضع ست عشرة بيضة وهي تأكل ثلاثا في الفطور وتستخدم أربعا "
    "للكعك. إذن يبقى تسع بيضات تبيعها في السوق.",
    "Thai": "ก่อนอื่นเราต้องคำนวณว่าในแต่ละวันเหลือไข่กี่ฟอง เป็ดออกไข่สิบหกฟอง เธอกินสามฟองเป็นอาหารเช้า",
}


def random_text(alphabet: str, length: int) -> str:
    """The same for each alphabet and length; joined here, so that no file holds the shape of a key."""
    return "".join(random.Random(f"{alphabet}{length}").choices(alphabet, k=length))


LETTERS = string.ascii_letters
SIGNS = string.ascii_letters + string.digits
WEB_TOKEN = ".".join(
    base64.urlsafe_b64encode(part).decode().strip("=") for part in (b'{"alg": "HS256"}', b'{"sub": "anna lena"}')
)
REAL_KEYS = {
    "an AWS access key": "AKIA" + random_text(string.ascii_uppercase, 16),
    "an OpenAI key": "sk-proj-" + random_text(SIGNS, 60),
    "an Anthropic key": "sk-ant-api03-" + random_text(SIGNS, 93),
    "an OpenRouter key": "sk-or-v1-" + random_text("0123456789abcdef", 64),
    "a Hugging Face token": "hf_" + random_text(LETTERS, 34),
    "a Google API key": "AIza" + random_text(SIGNS, 35),
    "a GitHub token": "ghp_" + random_text(SIGNS, 36),
    "a GitLab token": "glpat-" + random_text(SIGNS, 20),
    "a Slack token": "xoxb-" + random_text(string.digits, 12) + "-" + random_text(SIGNS, 24),
    "a Stripe key": "sk_live_" + random_text(SIGNS, 24),
    "an npm token": "npm_" + random_text(SIGNS, 36),
    "a SendGrid key": "SG." + random_text(SIGNS, 22) + "." + random_text(SIGNS, 43),
    "a signed web token": f"{WEB_TOKEN}.{random_text(SIGNS, 43)}",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\n" + random_text(SIGNS, 64),
    "a password in a URL": "postgres://lena:" + random_text(SIGNS, 12) + "@db.lena.org/eggs",
}


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "Sorry, I cannot provide instructions for that.",
        "I apologize, but I am unable to assist with this problem.",
        "As an AI language model, I cannot answer questions about this.",
        "Unfortunately, I'm not able to help with that. Is there anything else?",
        "This asks for something harmful. I can't help with that.",
        "I must respectfully decline this request.",
        "I won't engage with this topic.",
        "很抱歉，我无法回答这个问题。",
        "作为一个人工智能助手，我不能提供这方面的信息。",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Es tut mir leid, aber dabei kann ich dir nicht helfen.",
        "Извините, но я не могу помочь с этим.",
    ],
)
def test_a_reply_that_declines_is_a_refusal(text: str) -> None:
    assert refusals.refusal(solution(text=text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, I made a mistake: 4 + 3 = 7, not 8. So 7 - 2 = 5. The answer is 5.",
        "I can't help but notice that 4 + 3 = 7. Then 7 - 2 = 5.",
        "We cannot divide by zero, so x is 5.",
        "Unfortunately, Lena can't do the dishes, so Omar does all 5 of them.",
        "I'm sorry, but I can't answer with certainty. The answer is 5.",
        'Omar says: "I can\'t help with that." So Lena carries all 5 bags.',
        "The answer must be something that a refusal needs. Of the choices, only a polite no is one.",
        "As an AI is trained on 7 books and 2 are lost, 5 are left.",
        "I cannot find a smaller one, so 5 it is.",
    ],
)
def test_a_reply_that_apologises_or_answers_after_all_is_no_refusal(text: str) -> None:
    assert refusals.refusal(solution(text=text)) is None


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("4 + 3 - 2 = 5.<|im_end|>\n<|im_start|>user\nWhat is 3 + 3?", {}),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nThe answer is 5.", {}),
        ("[INST] What is 4 + 3 - 2? [/INST] The answer is 5.", {}),
        ("<<SYS>> be brief <</SYS>> The answer is 5.", {}),
        ("4 + 3 - 2 = 5. The answer is 5.<end_of_turn>", {}),
        ("4 + 3 - 2 = 5. The answer is 5.</s>", {}),
        ("4 + 3 - 2 = 5.<｜User｜>What is 3 + 3?", {}),
        ("The answer is 5.\n\n### Instruction:\nAdd 3 and 3.", {}),
        ("The answer is 5.\n\nHuman: What is 3 + 3?", {}),
        ("The answer is 5.", {"thoughts": "well <|eot_id|> then 7 - 2 = 5"}),
        ("You are a helpful assistant. 4 + 3 - 2 = 5.", {}),
        ("The system prompt says to be brief, so 5.", {}),
        ("The answer given in the prompt is 5, so 4 + 3 - 2 must be 5.", {"hinted": True}),
        ("As the hint says, it is 5. 4 + 3 - 2 = 5. The answer is 5.", {"hinted": True}),
        ("Since we know the answer is 5, 4 + 3 must be 7. The answer is 5.", {"hinted": True}),
        ("We are told that the correct answer is 5. So 7 - 2 is meant. The answer is 5.", {"hinted": True}),
    ],
)
def test_a_reply_in_which_the_prompt_shows_has_leaked_it(text: str, more: dict[str, Any]) -> None:
    assert leaks.prompt_leaked(solution(text=text, **more)) is not None


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("We need |x| < |y|, so x <| y |> z is a pipe in F#. The answer is 5.", {}),
        ("a[INSTANCE] is 5 and <|psi|> is an overlap. The answer is 5.", {}),
        ("### Step 1\n4 + 3 = 7\n\n### Response time\n7 - 2 = 5. The answer is 5.", {}),
        ("Every human: 2 legs. So 5 humans have 10 legs. The answer is 10.", {}),
        ("<s>7</s> is struck out, so 5. The answer is 5.", {}),
        ("If you are a teacher with 7 pupils and 2 leave, 5 stay. The answer is 5.", {}),
        ("The answer given by Omar is 7, the answer given in the table is 5. The answer is 5.", {}),
        ("Of the given answer choices only (c) fits. The answer is 5.", {"hinted": True}),
        ("4 + 3 = 7. 7 - 2 = 5. The answer is 5.", {"hinted": True}),
        ("The given numbers are 4, 3 and 2. We are told that Lena gives 2 away. The answer is 5.", {"hinted": True}),
    ],
)
def test_ordinary_text_has_leaked_nothing(text: str, more: dict[str, Any]) -> None:
    assert leaks.prompt_leaked(solution(text=text, **more)) is None


def test_a_mark_that_the_question_is_about_is_no_leak() -> None:
    asked = Problem(id="p", question="What does <|im_start|> open?", answer="a turn")
    assert leaks.prompt_leaked(solution(text="<|im_start|> opens a turn.", problem=asked)) is None


def test_a_sentence_of_the_prompt_is_known_again_and_a_question_is_not(tmp_path: Any) -> None:
    (tmp_path / "own.txt").write_text(
        "<<system>>\nThink aloud, and never forget to state the final answer in a sentence.\n"
        "<<user>>\nQ: {{question}}\nBe kind."
    )
    sentences = leaks.sentences_of(Prompt.load("own.txt", tmp_path))
    assert sentences == ("think aloud, and never forget to state the final answer in a sentence.",)
    told = solution(text="We think aloud,  and never forget to state\nthe final answer in a sentence. The answer is 5.")
    assert "13 words" in (leaks.prompt_leaked(told, sentences) or "")
    assert leaks.prompt_leaked(solution(text="Q: What is 4 + 3 - 2?\nBe kind. The answer is 5."), sentences) is None


@pytest.mark.parametrize("kind", REAL_KEYS)
@pytest.mark.parametrize("part", ["text", "thoughts", "question"])
def test_a_secret_is_named_by_its_kind_and_never_shown(kind: str, part: str) -> None:
    said = f"We set KEY={REAL_KEYS[kind]}\nand then 4 + 3 - 2 is 5."
    row = solution(text=said) if part == "text" else solution(thoughts=said)
    if part == "question":
        row = solution(problem=Problem(id="p", question=said, answer="5"))
    found = secrets.secrets(row)
    assert found is not None
    assert found.startswith(f"{kind} in the {part}, ")
    assert not any(REAL_KEYS[kind][at : at + 8] in found for at in range(len(REAL_KEYS[kind]) - 8))


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE is the key of the documentation",
        "postgres://user:password@localhost/db opens the database",
        "https://example.org:8080/a@b and http://lena@example.org",
        "write to lena@example.org",
        "sk-proj-" + "x" * 60,
        "sk-learn and task-oriented-programming-in-the-very-large-with-no-end-in-sight-at-all",
        "the hash 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 is of no use",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
        "a PRIVATE KEY begins with -----BEGIN PRIVATE KEY-----.",
        "hf_hub_download and ghp_ and gho_count",
        "mysql://root:${PASSWORD}@host/db",
        "the ratio 3:4://5",
    ],
)
def test_placeholders_hashes_and_addresses_are_no_secrets(text: str) -> None:
    assert secrets.secrets(solution(text=text)) is None


LINES = [f"In step {n} we add {n} to {n * n} and come to {n + n * n}, which is more than {n * 7}." for n in range(400)]


@pytest.mark.parametrize(
    "text",
    [
        "4 + 3 is 7. " * 40,
        " ".join(LINES[:250]) + " So we check it once more and find the same, which is odd." * 60,
        " ".join(LINES[:120]) + " so it is seven" * 60 + " ".join(LINES[120:300]),
        " ".join([*LINES[:200], *(LINES[300:310] * 5)]),
        "The sum is " + "ha" * 300,
        "首先" + "".join(LINES[:2]) + "我们再检查一遍，结果还是七。" * 40,
        "我们需要计算总数，" * 60,
        "x = " + "\\frac{1}{2}+" * 60,
        "aaaa" * 200,
    ],
)
def test_a_text_that_goes_round_in_circles_repeats_itself(text: str) -> None:
    assert loops.repetition(solution(text=text), most=0.3) is not None


@pytest.mark.parametrize(
    "text",
    [
        " ".join(LINES),
        " ".join([*LINES[:100], *LINES[90:110], *LINES[110:300]]),
        "The number is 1" + "0" * 600,
        "The grid is [" + "[0,0,0,0,0,0,0,0]," * 40 + "]",
        "|---|" * 80 + " is a rule.",
        FOREIGN["Chinese"] * 2,
        "a b c",
        "",
    ],
)
def test_a_long_text_a_fair_copy_and_a_grid_do_not(text: str) -> None:
    assert loops.repetition(solution(text=text), most=0.3) is None


def test_the_share_counts_word_8_grams_that_stood_before() -> None:
    assert repeated_share("a b c") == 0
    assert repeated_share("one two three four five six seven eight nine ten") == 0
    assert repeated_share("so we add one " * 10) > 0.8
    assert repeated_share("1 2 3 4 5 6 7 8 " * 2) == pytest.approx(1 / 9)


def test_words_are_counted_where_no_space_parts_them() -> None:
    assert form.words("one two  three\nfour") == 4
    assert form.words("首先我们计算总数") == 4
    assert form.words("so 总数 is 七") == 4
    assert form.no_reasoning(solution(text="四加三是七，七减二是五。答案是5", found="5"), least=3) is None
    assert form.no_reasoning(solution(text="5", found="5", rationale="so 5"), least=3) == (
        "2 words of reasoning, 3 wanted at least"
    )


LETTERED = Problem(id="p", question="Where do beavers get wood?", answer="wooded area", choices=PLACES)
POLAR = Problem(id="p", question="Is there frost in December?", answer="yes")


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("The answer is 5. First we add 4 and 3, which is 7, and then take 2 away.", None),
        ("The answer is 5. We add 4 and 3, which is 7, then take 2 away. So the answer is 5.", None),
        ("\\boxed{5}\n\nWe add 4 and 3, which makes 7, and then we take 2 away.", None),
        ("**5**\n\nWe add 4 and 3, which makes 7, and then we take 2 away, which leaves 5.", None),
        ("**Answer:**\n5\n\nWe add 4 and 3, which makes 7, and then we take 2 away.", None),
        ("(c) wooded area. Beavers build with wood, and wood is what grows in wooded areas.", LETTERED),
        ("Yes, December is a cold month in the north. Frost is common then. So the answer is yes.", POLAR),
    ],
)
def test_an_answer_that_stands_first_is_found(text: str, of: Problem | None) -> None:
    assert stated.answer_before_reasoning(solution(text=text, problem=of)) is not None


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("4 + 3 = 7. 7 - 2 = 5. The answer is 5.", {}),
        ("The answer is 5.", {}),
        ("The answer is 5. I hope this helps!", {}),
        ("The answer is 5. We add 4 and 3, which is 7, and then take 2 away.", {"thoughts": "4 + 3 is 7, less 2 is 5"}),
        ("The answer is found by adding 4 and 3 first. That is 7, and less 2 it is 5. The answer is 5.", {}),
        ("The answer must be a place with 5 trees. Of the above only one is. The answer is 5.", {}),
        ("7 is what 4 and 3 make together. We then take 2 away from it. The answer is 5.", {}),
        ("A beaver builds with wood. Wood grows in wooded areas. The answer is (c).", {"problem": LETTERED}),
        ("No month is colder than December, so there is frost. So the answer is yes.", {"problem": POLAR}),
    ],
)
def test_reasoning_before_the_answer_is_sound(text: str, more: dict[str, Any]) -> None:
    assert stated.answer_before_reasoning(solution(text=text, **more)) is None


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("So it is \\boxed{5}. Or rather, counted again, \\boxed{7}.", ("5", "7")),
        ("4 + 3 - 2 = 5, so the answer is 5. Wait, we forgot 2. The answer is 7.", ("5", "7")),
        ("The answer is 5. The answer is 5. The answer is 6. The answer is 5.", ("6", "5")),
    ],
)
def test_different_final_answers_are_several(text: str, answers: tuple[str, str]) -> None:
    found = stated.several_answers(solution(text=text))
    assert found == f"states {answers[0]!r} and {answers[1]!r} as final answers, one wanted"


@pytest.mark.parametrize(
    "text",
    [
        "4 + 3 = 7. The answer is 5.",
        "The answer is 5 apples. We checked it: the answer is \\boxed{5}.",
        "The answer is 0.5. As a fraction, the answer is 1/2.",
        "The answer is not 7. The answer is 5.",
        "The answer should be a number above 3. 7 - 2 = 5. The answer is 5.",
        "no answer at all",
    ],
)
def test_one_answer_said_twice_is_one(text: str) -> None:
    assert stated.several_answers(solution(text=text)) is None


@pytest.mark.parametrize("name", FOREIGN)
def test_a_passage_in_another_language_is_found_alone_and_among_english(name: str) -> None:
    pytest.importorskip("lingua")
    look = other_language("en")
    met = "another language" if name == "Thai" else name
    assert look(solution(text=FOREIGN[name], found="9")) == f"a passage in {met}, English wanted"
    assert look(solution(text=f"{ENGLISH}\n\n{FOREIGN[name]}\n\nThe answer is 9.")) is not None
    assert look(solution(thoughts=FOREIGN[name], text=ENGLISH, found="9")) is not None


@pytest.mark.parametrize(("code", "name"), [("de", "German"), ("zh", "Chinese"), ("ja", "Japanese"), ("th", "Thai")])
def test_any_language_can_be_the_wanted_one(code: str, name: str) -> None:
    pytest.importorskip("lingua")
    look = other_language(code)
    assert look(solution(text=FOREIGN[name] + " $\\frac{1}{2}$ cm, sin x, kg. 18", found="18")) is None
    assert look(solution(text=ENGLISH, found="9")) == f"a passage in English, {name} wanted"


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH,
        "5 * 4 = $<<5*4=20>>20\n$50 - $20 = $<<50-20=30>>30\n#### 30",
        "Let $\\alpha + \\beta = \\pi$, so \\[\\sin\\alpha = \\sin\\beta\\] and αβ = π². The answer is 5.",
        "```python\nfür = {'eins': 1, 'zwei': 2, 'drei': 3, 'vier': 4, 'fünf': 5, 'sechs': 6, 'und': 7}\n```",
        "The word Schadenfreude comes from German, 幸灾乐祸 from Chinese. The answer is 5.",
        "A mollusk is an invertebrate animal such as snails, slugs, mussles, and octopuses. The animals on the "
        "calendar are: rat, ox, tiger, rabbit, dragon, snake, horse, goat, monkey, rooster, dog, and pig.",
        "Hannah runs 8 laps * 0.25 km/lap = 2 km in total.\nHannah will need to drink 60 ml * 2 km = 120 ml of water.",
        "",
    ],
)
def test_formulas_code_names_and_few_words_are_in_no_language(text: str) -> None:
    pytest.importorskip("lingua")
    assert other_language("en")(solution(text=text, found="5")) is None


def test_a_language_that_cannot_be_told_is_refused() -> None:
    pytest.importorskip("lingua")
    with pytest.raises(UsageError, match="language: 'english'"):
        other_language("english")


def test_a_word_counts_once_and_in_its_script() -> None:
    small = "one two three four five six seven eight nine ten eleven twelve so we add them"
    assert list(passages(f"{small} Berlin {small}")) == [small]
    assert list(passages("one two three")) == []
    assert [piece.split()[0] for piece in passages(FOREIGN["Japanese"])] == ["まず"]
    assert len(list(passages(f"{small} 我们 {small.upper()} 再 {FOREIGN['Chinese']}"))) == 2


LOOKS = [
    form.empty,
    form.no_answer,
    partial(form.no_reasoning, least=3),
    partial(form.too_long, most=100),
    partial(leaks.prompt_leaked, sentences=("one two three four five six seven eight",)),
    partial(loops.repetition, most=0.3),
    refusals.refusal,
    secrets.secrets,
    stated.answer_before_reasoning,
    stated.several_answers,
]
PHRASES = [
    "The answer is 5. ",
    "\\boxed{",
    "$",
    "```",
    "\n\n",
    "sk-",
    "://",
    "eyJ",
    "I can't ",
    "<|",
    "首先",
    "a",
    "0 ",
    "{",
    "\\(",
]


@settings(max_examples=150, deadline=None)
@given(text=st.text() | st.lists(st.sampled_from(PHRASES), max_size=60).map("".join))
def test_no_text_makes_a_fault_raise(text: str) -> None:
    row = solution(text=text, thoughts=text[::2], hinted=True)
    for look in LOOKS:
        look(row)
    list(language.passages(text))


MANY = [*PHRASES, "eyJ-", ".eyJ", "# ", "\\[", "you are a helpful ", "-----BEGIN PRIVATE KEY"]
MEGABYTES = {
    "runs of all": "".join(phrase * (1_000_000 // len(MANY) // len(phrase)) for phrase in MANY),
    "one letter": "a" * 1_000_000,
    "one word of Chinese": "首先" * 500_000,
    "answers": "The answer is 5. " * 60_000,
}


@pytest.mark.parametrize("name", MEGABYTES)
def test_a_megabyte_of_anything_is_looked_at(name: str) -> None:
    text = MEGABYTES[name]
    row = solution(text="4 + 3 is 7").model_copy(update={"text": text, "rationale": text, "hinted": True})
    for look in LOOKS:
        look(row)
    list(language.passages(text))
