"""What the model says: readable English that is a pure function of the model and the conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import msgspec

from kit import tokens
from stack.provider import conversation
from stack.provider.conversation import Message, ToolResult
from stack.provider.phrases import BODIES, OPENINGS, STOP_WORDS

SHORTEST, LONGEST = 20, 150

_WORD = re.compile(r"[^\W_]{3,}")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_BULLET = re.compile(r"^\s*(?:[-*•#>]+|\[?\d{1,3}[\].)])\s*")
#: What a passage begins with.
_NUMBERED = re.compile(r"\s*(\[\d{1,3}\])\s")
_CONTEXT_MARK = re.compile(
    r"<context\b[^>]*>|\b(?:context|passages|documents|sources|knowledge)\b[^\n:]{0,40}:", re.I
)
_INSTRUCTION = re.compile(r"(?:you are|you must|answer|use|always|never|do not|don't|if|be|reply)\b", re.I)
_MAX_CONTEXT_CHARS = 200_000
_MAX_QUESTION_CHARS = 8_000
_MAX_QUOTED_CHARS = 400
_encode = msgspec.json.Encoder(order="sorted").encode


def answer(model: str, messages: Sequence[Message]) -> str:
    """Return the answer to the last user message, from tool results or context where there are any."""
    results = conversation.tool_results(messages)
    if results:
        return " ".join(_told(result) for result in results)
    question = conversation.question(messages)[:_MAX_QUESTION_CHARS]
    context = conversation.context_text(messages) or conversation.system_text(messages)
    context = context[:_MAX_CONTEXT_CHARS]
    quoted = _quoted(question, context) if context else ""
    if quoted:
        return quoted
    seed = sha256(_encode((model, messages))).digest()
    return _composed(model, question, seed)


def _told(result: ToolResult) -> str:
    """Return a sentence or two that say what a tool answered."""
    text = _clipped(" ".join(result.text.split())) or "nothing"
    if text.lower().startswith("error"):
        return f"I could not use {result.name}: {text.partition(':')[2].strip() or text}."
    if result.name == "calculator":
        return f"The result of {_expression(result)} is {text}."
    if result.name == "current_time":
        return f"The current time is {text}."
    return f"According to {result.name}, the answer is: {text}"


def _expression(result: ToolResult) -> str:
    try:
        arguments = msgspec.json.decode(result.arguments, type=dict[str, object])
    except msgspec.DecodeError:
        return "the calculation"
    return _clipped(str(arguments.get("expression", "the calculation")))


@lru_cache(maxsize=1_024)
def _quoted(question: str, context: str) -> str:
    """Return the sentences of the context, two at most, with most words in common with the question.

    Each is followed by the number of its passage, where passages have numbers.
    Without a heading that says "context", instructions look much like passages: two common words are needed
    then, and sentences that instruct do not count.
    """
    mark = _CONTEXT_MARK.search(context)
    passages = context[mark.end() :] if mark else context
    wanted = _stems(question)
    scored, number = [], ""
    for at, sentence in enumerate(_SENTENCE_END.split(passages)):
        if begun := _NUMBERED.match(sentence):
            number = f" {begun[1]}"
        plain = _BULLET.sub("", sentence).strip()
        overlap = len(wanted & _stems(plain))
        if overlap >= (1 if mark else 2) and (mark or not _INSTRUCTION.match(plain)):
            scored.append((-overlap, at, plain, number))
    scored.sort()
    # A second sentence is worth saying only when it is about as much to the point.
    best = [item for item in scored[:2] if item[0] * 4 <= scored[0][0] * 3]
    return " ".join(
        _clipped(plain) + number for _, _, plain, number in sorted(best, key=lambda item: item[1])
    )


def _stems(text: str) -> set[str]:
    return {_stem(word) for word in _WORD.findall(text.lower()) if word not in STOP_WORDS}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            break
    return word.removesuffix("e")


def _composed(model: str, question: str, seed: bytes) -> str:
    """Return sentences on the question's topics, `SHORTEST` to `LONGEST` tokens as the seed has it."""
    topics = _topics(question)
    target = SHORTEST + int.from_bytes(seed[:2], "big") % (LONGEST - SHORTEST + 1)
    topic = topics[seed[2] % len(topics)]
    others = [other for other in topics if other != topic] or ["the details"]
    other = others[seed[3] % len(others)]
    # 5 and the number of bodies have no common divisor: no sentence comes twice.
    order = [BODIES[(seed[4] + 5 * step) % len(BODIES)] for step in range(len(BODIES))]
    text = OPENINGS[seed[5] % len(OPENINGS)].format(topic=topic, other=other)
    length = tokens.count(text, model)
    for sentence in order:
        more = " " + sentence.format(topic=topic, other=other)
        more_tokens = tokens.count(more, model)
        if length >= SHORTEST and length + more_tokens > target:
            break
        text, length = text + more, length + more_tokens
    return text


def _topics(question: str) -> list[str]:
    """Return what a question is about: words, or two in a row."""
    topics: list[str] = []
    run: list[str] = []
    for word in [*_WORD.findall(question[:2_000].lower()), ""]:
        telling = word not in STOP_WORDS and bool(word)
        if run and (not telling or len(run) == 2):
            topics.append(" ".join(run))
            run = []
        if telling:
            run.append(word[:20])
    return topics or ["your question"]


def _clipped(text: str) -> str:
    if len(text) <= _MAX_QUOTED_CHARS:
        return text
    return text[:_MAX_QUOTED_CHARS].rpartition(" ")[0].rstrip(",;:") + " …"


@lru_cache(maxsize=32)
def of_length(length: int, encoding_model: str) -> str:
    """Return a text that counts as exactly `length` tokens."""
    sentences = [s.format(topic="the plan", other="the budget") for s in BODIES]
    every = " ".join(sentences).split()
    words = [every[at % len(every)] for at in range(length)]
    excess = tokens.count(" ".join(words), encoding_model) - length
    while excess > 0:
        del words[-excess:]
        excess = tokens.count(" ".join(words), encoding_model) - length
    # Counting cuts long texts, and a word across a cut is two tokens; a letter more moves the cut.
    for filler in ("so", "then", "again", "therefore"):
        padded = list(words)
        while (missing := length - tokens.count(" ".join(padded), encoding_model)) > 0:
            padded += [filler] * missing
        if missing == 0:
            return " ".join(padded)
    raise AssertionError(f"no text has {length} tokens")
