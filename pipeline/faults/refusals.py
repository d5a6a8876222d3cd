"""Replies that decline to answer."""

import re

from pipeline.answers import split
from pipeline.rows import Solution

BEGINNING = 400
"""Characters in which a refusal comes, if it comes."""

UNABLE = r"(?:can(?:no|')?t|can not|could(?: not|n't)|won't|will not|(?: am|'m| are|'re) (?:unable|not able) to)"
SORRY = (
    r"\W*(?:(?:i'm|i am|we're|we are) (?:very |so |really |truly )?(?:sorry|afraid)|sorry|(?:my )?apologies"
    r"|i (?:do )?apologi[sz]e|unfortunately|as an? (?:large )?(?:ai|artificial intelligence|language model)\b)"
    rf"[^.!?\n]{{0,100}}?\b(?:i|we) ?{UNABLE} (?:help(?: (?:you|with)\b|[.,;]|$)|assist|comply|fulfil|engage"
    r"|participate|respond|continue with"
    r"|(?:answer|discuss|provide|create|generate|produce|write|share|support|process|do)\b)"
)
"""An apology, and that something cannot be done for the reader."""
ELSEWHERE = (
    r"\W*(?:(?:很|非常|十分)?(?:抱歉|对不起|不好意思)[^。\n]{0,20}(?:无法|不能|没办法)"
    r"|你好，这个问题我暂时无法回答|作为(?:一个|一名)?(?:ai|人工智能|(?:大型)?语言模型)[^。\n]{0,30}(?:无法|不能)"
    r"|申し訳(?:ありません|ございません)[^。\n]{0,40}(?:できません|できかねます)"
    r"|죄송(?:합니다|하지만)[^.\n]{0,60}수 없습니다"
    r"|lo siento,?(?: pero)? no puedo (?:ayudar|asistir|proporcionar|responder|cumplir|continuar|crear|generar)"
    r"|(?:je suis )?(?:vraiment )?désolée?,?(?: mais)? je ne (?:peux|suis) pas (?:en mesure (?:de |d'))?"
    r"(?:vous )?(?:aider|fournir|répondre|continuer|créer|générer|assister)"
    r"|(?:es )?tut mir (?:sehr )?leid,?(?: aber)?[^.\n]{0,20}(?:kann|darf)[^.\n]{0,60}"
    r"(?:nicht|keine)[^.\n]{0,60}(?:helfen|beantworten|unterstützen|erfüllen|bereitstellen|anbieten|geben)"
    r"|(?:sinto muito|desculpe),?(?: mas)?(?: eu)? não posso (?:ajudar|fornecer|responder|atender|continuar|criar)"
    r"|(?:извините|к сожалению|простите),?(?: но)? я не могу (?:помочь|ответить|предоставить|выполнить|обсуждать))"
)
"""The same in the other languages that teachers are asked in most."""
OPENING = re.compile(f"{SORRY}|{ELSEWHERE}")
DECLINING = re.compile(
    rf"(?<![\"“‘'])\bi ?{UNABLE} (?:help (?:you )?with (?:that|this|your)\b|assist (?:you )?with\b"
    r"|(?:comply|fulfil\w*|engage) with\b|fulfil\w* (?:that|this|your)\b"
    r"|(?:provide|give|offer) (?:you )?(?:with )?(?:any )?(?:assistance|instructions|guidance|that information)\b"
    r"|answer (?:that|this|your) (?:question|request)[.,]|(?:do|discuss) that[.,])"
    r"|\bi (?:must|have to) (?:respectfully )?decline\b"
)
"""What nobody writes who goes on to solve a problem, wherever it stands."""
SIGNS = ("can't", "cant", "cannot", "can not", "could", "won't", "will not", "able to", "decline")
"""One of these stands in each of the latter: a text without them need not be searched."""


def refusal(row: Solution) -> str | None:
    """The reply declines, and states no answer after all."""
    beginning = row.text[:BEGINNING].lower().replace("’", "'")
    declined = OPENING.match(beginning)
    if declined is None and any(sign in beginning for sign in SIGNS):
        declined = DECLINING.search(beginning)
    if declined is None or split(row.text)[1] is not None:
        return None
    return f"declines in its first {declined.end()} characters and states no answer; an answer is wanted"
