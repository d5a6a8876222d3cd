"""The user's choices: strict, with a way out of every mistake."""

from pathlib import Path

import pytest

from pipeline.choices import load
from pipeline.errors import UsageError

TEN_LINES = """
recipe: r1-distill
run: my-run
data: {train: problems.jsonl, eval: heldout.jsonl, limit: 1000}
teachers:
  main: {base_url: https://api.deepseek.com/v1, model: deepseek-reasoner, key_env: DEEPSEEK_API_KEY, concurrency: 256}
student: {model: Qwen/Qwen2.5-1.5B}
budget_usd: 50
set: {solve.samples: 16}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text)
    return path


def test_the_ten_line_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    choices = load(written(tmp_path, TEN_LINES), {})
    assert choices.data.train[0].path == "problems.jsonl"
    assert choices.teachers["main"].concurrency == 256
    assert choices.set == {"solve.samples": 16}
    assert choices.base == tmp_path


def test_flags_stand_over_the_file_and_set_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, TEN_LINES)
    choices = load(path, {"run": "other", "data.limit": 7, "recipe": None}, ["solve.samples=4"])
    assert (choices.run, choices.data.limit, choices.recipe) == ("other", 7, "r1-distill")
    assert choices.set == {"solve.samples": 4}


def test_without_a_file_the_embedded_teacher_is_chosen() -> None:
    assert load(None, {}).teachers["main"].local == "embedded"


@pytest.mark.parametrize(
    ("old", "new", "fact", "hint"),
    [
        ("budget_usd", "buget_usd", "unknown key buget_usd", "did you mean 'budget_usd'?"),
        ("concurrency", "concurency", "unknown key teachers.main.concurency", "did you mean 'concurrency'?"),
        ("limit: 1000", "limitt: 1000", "unknown key data.limitt", "did you mean 'limit'?"),
        ("{model: Qwen", "{modle: Qwen", "unknown key student.modle", "did you mean 'model'?"),
        ("{model: Qwen/Qwen2.5-1.5B}", "{}", "student.model: Field required", None),
        ("train: problems.jsonl", "train: {path: a.jsonl, feilds: {}}", "unknown key data.train.0.feilds", "'fields'"),
        ("limit: 1000", "limit: many", "data.limit: Input should be a valid integer", None),
        ("run: my-run", "run: ../up", "run: String should match pattern", None),
        ("  main:", "  other:", "one of them must be named main", None),
        ("base_url: https://api.deepseek.com/v1, ", "", "a teacher needs base_url and model, or local", None),
        ("key_env: D", "api_key: sk-D", "unknown key teachers.main.api_key", "key_env: NAME_OF_VARIABLE"),
        ("key_env: D", "key: sk-D", "unknown key teachers.main.key", "key_env: NAME_OF_VARIABLE"),
        ("key_env: D", "token: sk-D", "unknown key teachers.main.token", "keys come from the environment"),
        ("recipe:", "- recipe:", "my.yaml:", None),
    ],
)
def test_a_mistake_is_named_with_the_nearest_known_key(
    tmp_path: Path, old: str, new: str, fact: str, hint: str | None
) -> None:
    assert old in TEN_LINES
    with pytest.raises(UsageError) as caught:
        load(written(tmp_path, TEN_LINES.replace(old, new, 1)), {})
    assert fact in caught.value.fact
    assert hint is None or hint in (caught.value.hint or "")
    assert "sk-" not in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_is_told(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError) as told:
        load(path, {})
    assert told.value.fact == f"{path} is empty"


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match=r"no file nowhere\.yaml"):
        load(Path("nowhere.yaml"), {})


@pytest.mark.parametrize(
    ("old", "new", "item", "fact"),
    [
        ("data: {", "data: a.jsonl #", "a.b=1", "data: Input should be a valid dictionary"),
        ("data: {", "data: #", "a.b=1", "data.train: Field required"),
        ("set: {", "set: [a.b] #", "a.b=1", "set: Input should be a valid dictionary"),
        ("set: {", "set: {", "train.method={", "--set train.method={: not YAML: expected the node content"),
        ("set: {", "set: {", "train=1", "--set train=1: expected step.field=value"),
    ],
)
def test_what_a_flag_cannot_be_put_into_is_told(tmp_path: Path, old: str, new: str, item: str, fact: str) -> None:
    path = written(tmp_path, TEN_LINES.replace(old, new))
    with pytest.raises(UsageError) as told:
        load(path, {"data.limit": 7}, [item])
    assert fact in told.value.fact
