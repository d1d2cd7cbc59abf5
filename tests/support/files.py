"""Small files of every format, made for the tests."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

import pptx
import xlsxwriter
from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def make_zip(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def make_tgz(members: Mapping[str, bytes]) -> bytes:
    return gzip.compress(make_tar(members))


def make_docx(body: str, prologue: str = "", extra: Mapping[str, bytes] | None = None, main: str = "document.xml") -> bytes:
    """A Word document whose body is WordprocessingML, in a part that is called ``main``."""
    document = f'<?xml version="1.0"?>{prologue}<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>'
    styles = f'<w:styles xmlns:w="{W}">' + "".join(_style(level) for level in (1, 2)) + "</w:styles>"
    relation = '<Relationship Id="r{0}" Type="{1}/{2}" Target="{3}"/>'.format
    root = f'<Relationships xmlns="{_RELATIONS}">{relation(1, _OFFICE, "officeDocument", f"word/{main}")}</Relationships>'
    parts = f'<Relationships xmlns="{_RELATIONS}">{relation(1, _OFFICE, "styles", "styles.xml")}</Relationships>'
    types = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    texts = {
        "[Content_Types].xml": types,
        "_rels/.rels": root,
        f"word/_rels/{main}.rels": parts,
        f"word/{main}": document,
        "word/styles.xml": styles,
    }
    return make_zip({**{name: text.encode() for name, text in texts.items()}, **(extra or {})})


def _style(level: int) -> str:
    return f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/></w:style>'


def paragraph(text: str, heading: int = 0) -> str:
    style = f'<w:pPr><w:pStyle w:val="Heading{heading}"/></w:pPr>' if heading else ""
    return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"


def docx_table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def make_xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return buffer.getvalue()


def make_pptx(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """A deck; each slide has a title, a text and notes."""
    deck = pptx.Presentation()
    for title, text, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        slide.notes_slide.notes_text_frame.text = notes
    buffer = io.BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def make_pdf(pages: Sequence[tuple[str | None, str]], password: str | None = None) -> bytes:
    """A PDF; each page has a line that a bookmark leads to, or none, and a text that is broken into lines."""
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    if password:
        pdf.set_encryption(owner_password=password, user_password=password)
    for title, text in pages:
        pdf.add_page()
        if title:
            pdf.start_section(title)
            pdf.cell(text=title, new_x="LMARGIN", new_y="NEXT")
        if text:
            pdf.multi_cell(0, text=text, align="L")
    return bytes(pdf.output())


def make_scan(texts: Sequence[str], text_on_first: str = "") -> bytes:
    """A PDF of pictures; the first page may have text as well."""
    pdf = FPDF()
    pdf.set_font("helvetica", size=11)
    if text_on_first:
        pdf.add_page()
        pdf.multi_cell(0, text=text_on_first)
    for text in texts:
        pdf.add_page()
        pdf.image(picture(text), w=180)
    return bytes(pdf.output())


def picture(text: str) -> Image.Image:
    image = Image.new("L", (1200, 300), 255)
    ImageDraw.Draw(image).text((40, 100), text, fill=0, font=ImageFont.load_default(60))
    return image


def make_image(text: str, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture(text).save(buffer, kind)
    return buffer.getvalue()


def make_eml(subject: str, body: str, attachments: Mapping[str, bytes] | None = None) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ann <ann@example.org>", "bob@example.org", subject
    message.set_content(body)
    for name, data in (attachments or {}).items():
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
