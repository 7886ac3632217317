"""What the provider says: readable sentences that are a pure function of the request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from kit import tokens

Message = Mapping[str, Any]

_WORD = re.compile(r"[A-Za-zÀ-ÿ]{4,}")
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")
_STOP = frozenset(
    [
        "about",
        "after",
        "again",
        "also",
        "because",
        "been",
        "before",
        "being",
        "between",
        "could",
        "does",
        "doing",
        "each",
        "from",
        "have",
        "having",
        "here",
        "into",
        "just",
        "more",
        "most",
        "other",
        "over",
        "please",
        "should",
        "some",
        "such",
        "than",
        "that",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "tell",
        "under",
        "very",
        "what",
        "when",
        "where",
        "which",
        "while",
        "will",
        "with",
        "would",
        "your",
        "yours",
    ]
)
_OPENINGS = (
    "Here is what matters about {topic}.",
    "Thank you for asking about {topic}.",
    "The short answer on {topic} is simple.",
    "Let me explain {topic} step by step.",
)
_BODIES = (
    "Most teams begin with {topic} and keep the rest for later.",
    "It depends on {other}, which is worth checking first.",
    "In practice {topic} and {other} go together.",
    "You can change {other} at any time without losing anything.",
    "A good rule is to write down what {topic} should achieve.",
    "If {other} is not clear yet, start small and measure.",
    "We usually see results within a few days.",
    "Do not forget to review {topic} once a month.",
)


def answer(model: str, messages: Sequence[Message]) -> str:
    """Return the answer to the last user message, drawn from tool results or context where there are any."""
    question = last_user_text(messages)
    results = _tool_results(messages)
    if results:
        return f"The result is {'; '.join(results)}."
    passages = _best_passages(question, messages)
    return passages or _composed(model, question)


def last_user_text(messages: Sequence[Message]) -> str:
    """Return the text of the last message the user wrote."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message)
    return ""


def text_of(message: Message) -> str:
    """Return a message's text; of parts, the texts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))


def exactly(length: int, model: str, text: str) -> str:
    """Return `text`, repeated and cut to exactly `length` tokens."""
    encoding = tokens.encoding_for(model)
    ids = encoding.encode_ordinary(text + " ") or [0]
    return encoding.decode((ids * (length // len(ids) + 1))[:length])


def _tool_results(messages: Sequence[Message]) -> list[str]:
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "tool":
            results.insert(0, text_of(message)[:200])
        elif message.get("role") == "user":
            break
    return results


def _best_passages(question: str, messages: Sequence[Message]) -> str:
    """Return the two sentences of the system's context that share most words with the question."""
    wanted = {word.lower() for word in _WORD.findall(question)} - _STOP
    context = "\n".join(text_of(m) for m in messages if m.get("role") == "system")
    scored = []
    for at, sentence in enumerate(s.strip() for s in _SENTENCE.findall(context)):
        overlap = len(wanted & {word.lower() for word in _WORD.findall(sentence)})
        if overlap >= 2:
            scored.append((-overlap, at, sentence))
    best = sorted(sorted(scored)[:2], key=lambda item: item[1])
    return " ".join(sentence for _, _, sentence in best)


def _composed(model: str, question: str) -> str:
    seed = sha256(f"{model}\n{question}".encode()).digest()
    words = [word.lower() for word in _WORD.findall(question) if word.lower() not in _STOP] or ["this"]
    topic, other = words[seed[0] % len(words)], words[seed[1] % len(words)]
    count = 1 + seed[2] % 6
    picked = [_OPENINGS[seed[3] % len(_OPENINGS)]]
    picked += [_BODIES[(seed[4] + 3 * i) % len(_BODIES)] for i in range(count)]
    return " ".join(picked).format(topic=topic, other=other)
