"""The private note of a document: the external id in its first line, by which we know our own again."""

from __future__ import annotations

NOTE_LENGTH = 4000  # of PrivateNote; the XSD states no length, this is the API reference's
DESCRIPTION_LENGTH = 4000  # XSD, Line.Description


def note(external_id: str, *remarks: str) -> str:
    """The note; remarks that no longer fit are cut."""
    return "\n".join((external_id, *remarks))[:NOTE_LENGTH]


def external_id(text: object) -> str | None:
    """The external id in a note, when there is a note."""
    return text.partition("\n")[0].strip() if isinstance(text, str) and text else None
