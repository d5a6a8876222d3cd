r"""Arithmetic in running text: the two sides of each equation in a line, and what a side comes to.

    "sold 48/2 = 24 clips"            48 / 2  =  24
    "5 apples + 3 apples = 8"         5 + 3  =  8
    "20% of 50 is equal to $10"       20% of 50  is equal to  $10
    "so 3 + 4 = 7 - 2 = 5"            3 + 4  =  7 - 2,  and  7 - 2  =  5
    "x + 3 = 9", "2 dozen + 1 = 25"   nothing: what is there is not the whole side

Text is taken apart and parsed, never evaluated; values are exact, and the time is linear in the text.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

MOST_TOKENS = 60
"""Of one side; a longer one is left out."""
MOST_DIGITS = 30
"""Of one number."""
MOST_BASE = 10**6
MOST_EXPONENT = 20
UNIT_WORDS = 4
"""Most words between a number and the sign behind it."""
NEAR = 3
"""Words beside a side across which an odd token spoils it."""

BULLET = re.compile(r"[ \t]*(?:[-*•+]|[0-9]{1,3}[.)])[ \t]+")
LATEX = (
    (re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|boxed|operatorname)\s{0,3}\{([^{}]{0,200})\}"), r" \1 "),
    (re.compile(r"\\[dt]?frac\s?\{([\w.,]{1,40})\}\s?\{([\w.,]{1,40})\}"), r"[\1/\2]"),
    (re.compile(r"\\[dt]?frac\s?\{([^{}]{1,200})\}\s?\{([^{}]{1,200})\}"), r"[(\1)/(\2)]"),
    (re.compile(r"\{,\}"), ","),
)
SYMBOLS = str.maketrans("−–×·⋅÷⁄∕’\xa0\u202f\u2009", "--***///'   ")
LETTER = r"[^\W\d_]"
RELATION = r"(?<![<>!:=~])=(?![=>])|≈|≅|\\approx(?![a-z])|\b(?:is\ )?equal(?:s|\ to)\b"
TOKEN = re.compile(
    rf"""
      (?P<space>[ ]+)
    | (?P<odd>[0-9]{{1,2}}/[0-9]{{1,2}}/[0-9]{{4}}(?![0-9])|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?![0-9])|[0-9]{{1,30}}!
        |[0-9]{{1,3}},\ [0-9]{{3}}(?![0-9])|(?<=\ )\.(?=\ )|(?![xX][0-9.]){LETTER}+[0-9_]\w*
        |(?:[Ss]tep|[Dd]ay|[Ww]eek|[Cc]ase|[Pp]art|[Qq]uestion)\ [0-9]{{1,3}}(?=\ -\ ))
    | (?P<number>(?:[$€£¥₹]\ ?)?(?:[0-9](?:[0-9.,:]*[0-9])?|(?<![\w)])\.[0-9]+))
    | (?P<percent>\\?%|percent(?!\w))
    | (?P<sign>\*(?!\*)|\\(?:times|cdot|div)(?![a-z])|[-+^]|/(?!\s?{LETTER})
        |[xX](?=\s?[0-9.($\\])|(?:plus|minus|times|multiplied\ by|divided\ by)(?=\ [0-9.($\\]))
    | (?P<relation>{RELATION})
    | (?P<word>(?:/\ ?)?{LETTER}+(?:[-'/.]{LETTER}+)*|(?<=\ )\({LETTER}+(?:\ {LETTER}+){{0,3}}\))
    | (?P<open>[({{\[])
    | (?P<close>[)}}\]])
    | (?P<nothing>[\t°&]|\$|\\(?:left|right|displaystyle|q?quad)(?![a-z])|\\[,;:! $])
    | (?P<stop>[.,;:?!"|`\#—，。；：、？！]|\*\*|\\[\[\]()\\])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
PLAIN = re.compile(r"[$€£¥₹]? ?(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[1-9][0-9]*|0)?(?:\.[0-9]+)?")
SIGNS = {"\\times": "*", "x": "*", "X": "*", "\\cdot": "*", "\\div": "/", "^": "**", "of": "*", "": "*"}
SIGNS |= {"plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/"}
OPERATORS: dict[type[ast.AST], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
JOINED_UNIT = re.compile(r"[mck]m|[mk]g|lbs?|oz|ft|mi|mins?|secs?|hrs?|ml|[mk]ph")
"""A unit that is written to its number without a space; of any other name it is the factor."""
CHANGING = re.compile(
    r"(?:dozen|hundred|thousand|million|billion|third|fourth|fifth|sixth|eighth|tenth|pair|double|triple)s?|trillion|half|"
    r"halves|twice|quadruple|times|squared?|cubed|factorial|root|mod|modulo|remainder|negative|couple|am|pm|o'clock"
)
"""A word that changes the value of what stands beside it."""
JOINING = re.compile(r"and|or|so|then|than|since|because|is|are|was|were|that|which|if|when|as|hence|thus|means")
"""A word that begins something else; no unit has it."""


class Token(NamedTuple):
    """A number, a sign or a word, and where it stands."""

    kind: str
    """number, sign, open, close, relation, word; odd: what cannot be read, and spoils what stands beside it."""
    text: str
    start: int
    end: int


class Equation(NamedTuple):
    """Two sides, each of them numbers, signs and brackets, and the line that they stand in."""

    left: Sequence[Token]
    relation: str
    right: Sequence[Token]
    line: str

    @property
    def text(self) -> str:
        """The equation as it stands in its line."""
        return " ".join(self.line[self.left[0].start : self.right[-1].end].split())


def equations(line: str) -> Iterator[Equation]:
    """The equations in one line; of a chain, each with the next side."""
    for pattern, plain in LATEX if "\\" in line or "{," in line else ():
        line = pattern.sub(plain, line)
    line = line.translate(SYMBOLS)
    bullet = BULLET.match(line)
    line = line[bullet.end() :] if bullet else line
    for piece in map(_without_units, _pieces(line)):
        places = [place for place, token in enumerate(piece) if token.kind == "relation"]
        for before, place, after in zip([-1, *places], places, [*places[1:], len(piece)], strict=False):
            left = _last(piece[max(before + 1, place - MOST_TOKENS) : place])
            right = _first(piece[place + 1 : min(after, place + 1 + MOST_TOKENS)])
            if left and right:
                yield Equation(left, piece[place].text, right, line)


def values(tokens: Sequence[Token]) -> list[Fraction]:
    """What a side comes to: one value, or one for each sense of the per cent in it.

    Raises:
        ValueError, SyntaxError, ArithmeticError: it is no arithmetic, or too large.
    """
    named = {f"n{place}": token.text for place, token in enumerate(tokens) if token.kind == "number"}
    words = {"number": "n{}", "open": "(", "close": ")"}
    source = " ".join(
        words.get(token.kind, SIGNS.get(token.text, token.text)).format(place) for place, token in enumerate(tokens)
    )
    tree = ast.parse(source, mode="eval").body
    senses = ("share", "number", "part") if any("%" in text for text in named.values()) else ("share",)
    return [_value(tree, named, sense) for sense in senses]


def _value(node: ast.expr, named: Mapping[str, str], sense: str) -> Fraction:
    """The value of a tree; 20% is 0.2, or 20, or in `50 + 20%` that part of 50."""
    if isinstance(node, ast.Name):
        figures = named[node.id].strip("$€£¥₹% \\").replace(",", "")
        return Fraction(figures) / (100 if "%" in named[node.id] and sense != "number" else 1)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, named, sense)
    if not isinstance(node, ast.BinOp):
        raise ValueError("not arithmetic")
    left, right = _value(node.left, named, sense), _value(node.right, named, sense)
    if isinstance(node.op, ast.Pow):
        if right.denominator != 1 or abs(right) > MOST_EXPONENT or abs(left) > MOST_BASE:
            raise ValueError("too large")
        return Fraction(left ** int(right))
    if sense == "part" and isinstance(node.op, ast.Add | ast.Sub) and isinstance(node.right, ast.Name):
        right *= left if "%" in named[node.right.id] else 1
    return OPERATORS[type(node.op)](left, right)


def _pieces(line: str) -> Iterator[list[Token]]:
    """The tokens between two stops."""
    piece: list[Token] = []
    for match in TOKEN.finditer(line):
        kind = match.lastgroup
        if kind == "stop":
            yield piece
            piece = []
        elif kind == "percent" and piece and piece[-1].kind == "number":
            piece[-1] = piece[-1]._replace(text=f"{piece[-1].text}%", end=match.end())
        elif kind not in ("space", "nothing"):
            piece.append(Token(_kind(match, piece), match.group(), match.start(), match.end()))
    yield piece


def _kind(match: re.Match[str], before: Sequence[Token]) -> str:
    """What a token is, seen with those before it."""
    kind, text = str(match.lastgroup), match.group()
    if kind == "number":
        return "number" if PLAIN.fullmatch(text) and len(text) <= MOST_DIGITS else "odd"
    if kind == "sign" and text in ("x", "X"):
        return "sign" if before and before[-1].kind in ("number", "close", "word") else "odd"
    if text == "of" and _ends_number(before, len(before)):
        is_share = before[-1].text[-1] in "%]" or [token.text for token in before[-2:-1]] == ["/"]
        return "sign" if is_share else "odd"
    if kind == "word":
        return "odd" if _is_odd(match, before) else "word"
    return "odd" if kind in ("percent", "other") else kind


def _is_odd(word: re.Match[str], before: Sequence[Token]) -> bool:
    """Whether a word may stand for a number: an unknown, `dozen`, or a name that is written to its factor (`3A`)."""
    name = word.group().lstrip("/ ").casefold()
    if CHANGING.fullmatch(name) or (len(name) == 1 and name.isascii() and name != "a"):
        return True
    is_joined = bool(before) and before[-1].kind == "number" and before[-1].end == word.start()
    return is_joined and name.isascii() and word.group()[0] != "/" and not JOINED_UNIT.fullmatch(name)


def _without_units(piece: Sequence[Token]) -> list[Token]:
    """Without the words between a number and the sign behind it, and with the sign between 2 and (3 + 4)."""
    kept: list[Token] = []
    for token in piece:
        if token.kind in ("sign", "relation", "close"):
            end = len(kept)
            while end and len(kept) - end < UNIT_WORDS and _is_unit(kept[end - 1]):
                end -= 1
            if _ends_number(kept, end):
                del kept[end:]
        if token.text == "(" and _ends_number(kept, len(kept)) and kept[-1].end == token.start:
            is_divided = [one.text for one in kept[-2:-1]] == ["/"]
            kept.append(Token("odd" if is_divided else "sign", "", token.start, token.start))
        kept.append(token)
    return kept


def _is_unit(token: Token) -> bool:
    return token.kind == "word" and not JOINING.fullmatch(token.text.casefold())


def _ends_number(tokens: Sequence[Token], end: int) -> bool:
    return end > 0 and tokens[end - 1].kind in ("number", "close")


def _last(tokens: Sequence[Token]) -> Sequence[Token]:
    """The arithmetic that these end with; nothing where it is not all there, or where there is more before it."""
    depth, begin = 0, len(tokens)
    while begin and depth >= 0 and tokens[begin - 1].kind not in ("word", "odd"):
        begin -= 1
        depth += (tokens[begin].kind == "close") - (tokens[begin].kind == "open")
    begin += depth < 0
    before, side = tokens[:begin], tokens[begin:]
    is_cut = not before and len(tokens) == MOST_TOKENS
    if is_cut or _is_spoilt(reversed(before)) or any(token.kind == "sign" for token in before):
        return ()
    goes_on = before and before[-1].kind == "word" and side and side[0].kind == "sign"
    return () if goes_on else side


def _first(tokens: Sequence[Token]) -> Sequence[Token]:
    """The arithmetic that these begin with; nothing where it is not all there."""
    depth, end = 0, 0
    while end < len(tokens) and depth >= 0 and tokens[end].kind not in ("word", "odd"):
        depth += (tokens[end].kind == "open") - (tokens[end].kind == "close")
        end += 1
    end -= depth < 0
    is_cut = end == len(tokens) == MOST_TOKENS
    return () if is_cut or _is_spoilt(tokens[end:]) else tokens[:end]


def _is_spoilt(beside: Iterable[Token]) -> bool:
    """Whether an odd token is near, with only words between."""
    between = islice(beside, NEAR)
    return next((token.kind == "odd" for token in between if token.kind != "word"), False)
