"""Why a source cannot be indexed: a stable word, and what its owner can do about it."""

from __future__ import annotations

from collections.abc import Mapping

REMEDIES: Mapping[str, str] = {
    "encrypted": "The file is protected by a password; upload one without.",
    "corrupt": "The file is damaged or cut off; save it anew and upload it again.",
    "empty": "There is nothing in it; check that you chose the right file.",
    "too_large": "It is larger than allowed once it is unpacked; split it into parts.",
    "unsupported_type": "This type of file is not read; use PDF, Word, Excel, PowerPoint, HTML, CSV or text.",
    "no_text": "No text was found in it; if it is a scan, run text recognition first.",
    "no_room": "It is larger than what your plan has room for; delete a source, or choose a larger plan.",
    "timeout": "It took too long to read; split it into parts.",
    "blob_missing": "The uploaded bytes are not there any more; upload the file again.",
    "robots_refused": "The site's robots.txt does not want this page to be read.",
    "robots_unavailable": "The site's robots.txt could not be read, so no page was; try again later.",
    "no_pages": "No page of the site could be read; see the errors of its pages.",
    "no_prices": "No prices are set for your account yet; ask your marketplace's operator.",
    "instance_inactive": "The instance is not active; once it is again, have the source read again.",
    "no_credits": "There are not enough credits to read it; top up the wallet, then have it read again.",
    "embedding_refused": "The embedding model refused the text; ask your marketplace's operator.",
    "unavailable": "A part of the service was away for too long; try again.",
    "internal_error": "Something went wrong on our side; it was logged. Try again.",
}


class SourceFailed(Exception):
    """A source that cannot be indexed as it is."""

    def __init__(self, code: str, text: str = "", page_errors: tuple[str, ...] = ()) -> None:
        self.code = code
        self.text = text or REMEDIES[code]
        self.page_errors = page_errors
        super().__init__(f"{code}: {self.text}")
