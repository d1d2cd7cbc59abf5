"""Why a file cannot be read: the branch of ``exceptions`` below FileError, one class per cause.

Parsing happens in other processes. What crosses the border is a code, from which ``file_error`` makes the error again.
"""

from typing import ClassVar

from advanced_rag.exceptions import InvalidRequestError


class FileError(InvalidRequestError):
    """A file cannot be read. Its text never holds anything of the file."""

    code = "unreadable_file"
    text: ClassVar[str] = "the file cannot be read"

    def __init__(self) -> None:
        super().__init__(self.text)


class EmptyFileError(FileError):
    """The file has no bytes."""

    code = "empty_file"
    text = "the file is empty"


class EncryptedFileError(FileError):
    """The file asks for a password, or is protected by rights management."""

    code = "encrypted_file"
    text = "the file is encrypted: a copy without a password is needed"


class CorruptFileError(FileError):
    """The file is of a known type and breaks its rules."""

    code = "corrupt_file"
    text = "the file is damaged or incomplete"


class UnsupportedFileTypeError(FileError):
    """No parser knows the type."""

    code = "unsupported_type"
    text = "files of this type are not supported"


class TypeMismatchError(FileError):
    """The name says one type, the content is another."""

    code = "type_mismatch"
    text = "the content is not what the file name says"


class TooManyPagesError(FileError):
    """More pages than parsing.max_pages."""

    code = "too_many_pages"
    text = "the file has too many pages"


class TextTooLargeError(FileError):
    """More text than parsing.max_text_chars."""

    code = "text_too_large"
    text = "the file holds too much text"


class ArchiveTooLargeError(FileError):
    """An archive, or a file that is one inside, unpacks to more than parsing.archive allows: perhaps a bomb."""

    code = "archive_too_large"
    text = "the file unpacks to too much or too many parts"


class ArchiveTooDeepError(FileError):
    """Archives in archives, or mails in mails, beyond parsing.archive.max_depth."""

    code = "archive_too_deep"
    text = "the file holds files in files too deeply"


class ExternalEntitiesError(FileError):
    """XML that declares entities: they may read other files, call other hosts, or expand without end."""

    code = "external_entities"
    text = "XML with entity declarations is refused"


class NoTextError(FileError):
    """The file is sound and says nothing."""

    code = "no_text"
    text = "no text was found in the file"


class OcrUnavailableError(FileError):
    """The text is in pictures, and character recognition is not installed or switched off."""

    code = "ocr_unavailable"
    text = "the file needs character recognition, which is not available"


class UnrenderableError(FileError):
    """A page cannot be drawn: it is not there, damaged, encrypted or too large."""

    code = "unrenderable_page"
    text = "a page of the file cannot be drawn"


class ParserTimeoutError(FileError):
    """Parsing took longer than parsing.timeout_s, or more processor time than parsing.cpu_s."""

    code = "parser_timeout"
    text = "reading the file takes too long"


class ParserOutOfMemoryError(FileError):
    """Parsing needs more than parsing.memory_mb."""

    code = "parser_out_of_memory"
    text = "reading the file takes too much memory"


class ParserCrashedError(FileError):
    """The process that read the file died."""

    code = "parser_crashed"
    text = "reading the file failed"


_BY_CODE = {cause.code: cause for cause in FileError.__subclasses__()}


def file_error(code: str) -> FileError:
    """Return the error that a code stands for; what is unknown counts as a crash."""
    return _BY_CODE.get(code, ParserCrashedError)()
