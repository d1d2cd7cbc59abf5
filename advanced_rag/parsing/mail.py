"""E-mail: who wrote what to whom and when, the message, and what is attached."""

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart
from functools import partial

import olefile

from advanced_rag.parsing.archive import Budget, ParsePart, Part, sections
from advanced_rag.parsing.draft import Draft, Page, Source, corrupt_if_it_fails, one_line
from advanced_rag.parsing.plain import decode
from advanced_rag.parsing.webpage import to_markdown

_HEADERS = ("From", "To", "Cc", "Date")
_OUTLOOK_HEADERS = {"From": "0C1A", "To": "0E04", "Cc": "0E03"}  # property tags of [MS-OXPROPS]
_OUTLOOK_SUBJECT, _OUTLOOK_BODY, _OUTLOOK_HTML, _OUTLOOK_DATA = "0037", "1000", "10130102", "37010102"
_OUTLOOK_NAMES = ("3707", "3704")  # of an attachment: long, short


def parse_mail(source: Source, budget: Budget, parse: ParsePart) -> Draft:
    """Read a message as it was sent (RFC 822).

    Raises CorruptFileError, and what is wrong with the attachments when the message itself says nothing.
    """
    with corrupt_if_it_fails():
        message = email.message_from_bytes(source.data, policy=email.policy.default)
        headers = {name: str(message.get(name, "")) for name in ("Subject", *_HEADERS)}
        body = _body(message)
        attachments = list(_attachments(message))
    return _draft("message/rfc822", headers, body, _with_parts(attachments, budget, parse, is_needed=not body.strip()))


def parse_outlook(source: Source, budget: Budget, parse: ParsePart) -> Draft:
    """Read a message as Outlook saves it (.msg). Raises as parse_mail does."""
    with corrupt_if_it_fails(), olefile.OleFileIO(source.data) as ole:
        headers = {name: _outlook_text(ole, "", tag) for name, tag in _OUTLOOK_HEADERS.items()}
        headers["Subject"] = _outlook_text(ole, "", _OUTLOOK_SUBJECT)
        body = _outlook_text(ole, "", _OUTLOOK_BODY) or _outlook_html(ole)
        attachments = list(_outlook_attachments(ole))
    return _draft(
        "application/vnd.ms-outlook", headers, body, _with_parts(attachments, budget, parse, is_needed=not body.strip())
    )


def _draft(media_type: str, headers: dict[str, str], body: str, attached: Draft) -> Draft:
    subject = one_line(headers["Subject"])
    lines = "\n".join(f"{name}: {one_line(headers[name])}" for name in _HEADERS if headers.get(name))
    text = "\n\n".join(part for part in (f"# {subject}" if subject else "", lines, body) if part)
    return Draft(media_type, [Page(text), *attached.pages], title=subject, notes=attached.notes)


def _with_parts(attachments: list[Part], budget: Budget, parse: ParsePart, *, is_needed: bool) -> Draft:
    """Read the attachments; a message that says something itself does without those that cannot be read."""
    if not attachments:
        return Draft("", [])
    pages, notes = sections(attachments, budget, parse, is_needed=is_needed)
    return Draft("", pages, notes=notes)


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    text, _ = decode(_payload(part), part.get_content_charset())
    return to_markdown(text) if part.get_content_subtype() == "html" else text


def _payload(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _attachments(message: MIMEPart) -> Iterator[Part]:
    for part in message.iter_attachments():
        if part.get_content_type() == "message/rfc822":
            inner = part.get_content()
            yield f"{inner.get('Subject', 'message')}.eml", inner.as_bytes
        elif part.get_content_maintype() == "multipart":
            yield from _attachments(part)
        else:
            yield part.get_filename() or f"attachment.{part.get_content_subtype()}", partial(_payload, part)


def _outlook_text(ole: olefile.OleFileIO, folder: str, tag: str) -> str:
    if ole.exists(f"{folder}__substg1.0_{tag}001F"):
        return str(ole.openstream(f"{folder}__substg1.0_{tag}001F").read().decode("utf-16-le", "replace"))
    if ole.exists(f"{folder}__substg1.0_{tag}001E"):
        return decode(ole.openstream(f"{folder}__substg1.0_{tag}001E").read())[0]
    return ""


def _outlook_html(ole: olefile.OleFileIO) -> str:
    name = f"__substg1.0_{_OUTLOOK_HTML}"
    return to_markdown(decode(ole.openstream(name).read())[0]) if ole.exists(name) else ""


def _outlook_attachments(ole: olefile.OleFileIO) -> Iterator[Part]:
    folders = {entry[0] for entry in ole.listdir() if entry[0].startswith("__attach_version1.0_")}
    for folder in sorted(folders):
        stream = f"{folder}/__substg1.0_{_OUTLOOK_DATA}"
        if ole.exists(stream):
            names = [_outlook_text(ole, f"{folder}/", tag) for tag in _OUTLOOK_NAMES]
            data = ole.openstream(stream).read()
            yield next(filter(None, names), "attachment"), partial(bytes, data)
