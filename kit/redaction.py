"""Takes personal data out of texts before they are stored: e-mail addresses, card, account and phone numbers.

Numbers that have a checksum are taken out only where it is right, so that order numbers stay.
"""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}\b", re.I)
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w])")
#: International, or national with a leading 0 or an area code in brackets; at least seven digits.
_PHONE = re.compile(
    r"(?<![\w./-])(?:\+|00)\d{1,3}(?:[ ./-]?\(?\d{1,4}\)?){2,6}(?!\w)"
    r"|(?<![\w./-])\(?0\d{1,5}\)?(?:[ ./-]?\d{2,5}){2,4}(?![\w])"
    r"|(?<![\w./-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?!\w)"
)
_DATE = re.compile(r"0?\d{1,2}[./-]\d{1,2}[./-](?:\d{2}|\d{4})|\d{4}-\d{2}-\d{2}")
_FEWEST_PHONE_DIGITS, _MOST_PHONE_DIGITS = 7, 15


def redacted(text: str) -> str:
    """Return the text with a word such as `[email]` where personal data was."""
    without = _EMAIL.sub("[email]", text)
    without = _IBAN.sub(_if_iban, without)
    without = _CARD.sub(lambda found: "[card]" if _passes_luhn(found[0]) else found[0], without)
    return _PHONE.sub(_if_phone, without)


def _if_iban(found: re.Match[str]) -> str:
    """Return what stands for an IBAN; what follows one may look like a part of it."""
    written = found[0]
    for end in range(len(written), 14, -1):
        plain = re.sub(r"[ -]", "", written[:end]).upper()
        if len(plain) >= 15 and written[end - 1].isalnum() and _is_iban(plain):
            if end < len(written) and written[end].isalnum():
                continue
            return "[iban]" + written[end:]
    return written


def _is_iban(plain: str) -> bool:
    """ISO 13616: moved to the end, the country and check digits make a number that is 1 modulo 97."""
    digits = "".join(str(int(char, 36)) for char in plain[4:] + plain[:4])
    return int(digits) % 97 == 1


def _passes_luhn(written: str) -> bool:
    digits = [int(char) for char in written if char.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _if_phone(found: re.Match[str]) -> str:
    written = found[0]
    digits = sum(char.isdigit() for char in written)
    if not _FEWEST_PHONE_DIGITS <= digits <= _MOST_PHONE_DIGITS or _DATE.fullmatch(written):
        return written
    return "[phone]"
