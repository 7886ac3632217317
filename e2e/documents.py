"""Documents as buyers have them."""

from __future__ import annotations


def pdf(pages: list[str]) -> bytes:
    """Return a PDF with a line of text on each page."""
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", font]
    kids = []
    for text in pages:
        drawn = f"BT /F1 12 Tf 36 720 Td ({text}) Tj ET"
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
        objects.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 842 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {len(objects)} 0 R >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    written, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(written))
        written += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    start, count = len(written), len(objects) + 1
    written += f"xref\n0 {count}\n0000000000 65535 f \n{table}"
    written += f"trailer\n<< /Root 1 0 R /Size {count} >>\nstartxref\n{start}\n%%EOF\n"
    return written.encode("ascii")
