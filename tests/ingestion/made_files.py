"""Small real files of every type that is read, and of some that are not."""

from __future__ import annotations

import io
import zipfile

import openpyxl
from pptx import Presentation

_DOCX_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    'wordprocessingml.document.main+xml"/><Override PartName="/word/styles.xml" ContentType="application/vnd.'
    'openxmlformats-officedocument.wordprocessingml.styles+xml"/></Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/%s" Target="%s"/></Relationships>'
)
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_STYLES = (
    f'<?xml version="1.0"?><w:styles {_W}><w:style w:type="paragraph" w:styleId="Heading1">'
    '<w:name w:val="heading 1"/></w:style></w:styles>'
)


def pdf(*pages: str, encrypted: bool = False) -> bytes:
    """Return a PDF with a line of text on each page; encrypted, it needs a password that nobody knows."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in pages:
        safe = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        stream = f"BT /F1 12 Tf 72 720 Td ({safe}) Tj ET".encode()
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    trailer = b"/Root 1 0 R /Size %d" % (len(objects) + 2)
    if encrypted:
        locked = b"<" + b"5A" * 32 + b">"
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -1 /O %s /U %s >>" % (locked, locked))
        trailer += b" /Encrypt %d 0 R /ID [<AB> <AB>]" % len(objects)
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< %s >>\nstartxref\n%d\n%%%%EOF\n" % (trailer, start))
    return out.getvalue()


def archive(**parts: bytes | str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
        for name, body in parts.items():
            written.writestr(name, body)
    return out.getvalue()


def docx(heading: str, *paragraphs: str) -> bytes:
    body = f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>'
    body += "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    return archive(
        **{
            "[Content_Types].xml": _DOCX_TYPES,
            "_rels/.rels": _RELS % ("officeDocument", "word/document.xml"),
            "word/_rels/document.xml.rels": _RELS % ("styles", "styles.xml"),
            "word/styles.xml": _STYLES,
            "word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>",
        }
    )


def xlsx(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def pptx(*slides: tuple[str, str]) -> bytes:
    shown = Presentation()
    for title, text in slides:
        slide = shown.slides.add_slide(shown.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
    out = io.BytesIO()
    shown.save(out)
    return out.getvalue()


def encrypted_office() -> bytes:
    """Return what an Office file with a password begins like: the container of the old formats."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return head + "EncryptedPackage".encode("utf-16-le") + bytes(1_024)


def zip_bomb(honest: bool) -> bytes:
    """Return a Word file that is 2 GB unpacked, or, not `honest`, 256 MB that look lawful from outside."""
    part = b"<a>" + b"0" * 64 * 1024 * 1024
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
        with written.open("word/document.xml", "w", force_zip64=True) as file:
            for _ in range(32 if honest else 4):
                file.write(part)
        written.writestr("[Content_Types].xml", _DOCX_TYPES)
        written.writestr("_rels/.rels", _RELS % ("officeDocument", "word/document.xml"))
        written.writestr("word/_rels/document.xml.rels", _RELS % ("styles", "styles.xml"))
        written.writestr("word/styles.xml", _STYLES)
    return out.getvalue()
