"""Stored bytes unpacked: gzip and zip, told by their first bytes, also inside one another."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

from petrosa_cio.core.exchange.refusals import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 256 * 1024 * 1024
"""Bytes of a file, unpacked, beyond which it is not read: no answer is as large, and a bomb is."""

_GZIP, _ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06")
_DEEPEST = 3
_CHUNK = 1 << 20

# What the archive readers raise for bytes that are none; NotImplementedError is a method of packing they do not know,
# RuntimeError a password.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


def unpacked(raw: bytes, *, largest: int = LARGEST) -> Iterator[bytes | ErrorClass]:
    """The files in ``raw``, or ``raw`` itself where it is no archive; a class where one cannot be unpacked."""
    yield from _unpacked(raw, largest, 0)


def _unpacked(raw: bytes, largest: int, depth: int) -> Iterator[bytes | ErrorClass]:
    if len(raw) > largest:
        yield ErrorClass.TOO_LARGE
    elif depth >= _DEEPEST:
        yield raw
    elif raw.startswith(_GZIP):
        inner = _gunzipped(raw, largest)
        if isinstance(inner, ErrorClass):
            yield inner
        else:
            yield from _unpacked(inner, largest, depth + 1)
    elif raw.startswith(_ZIP):
        yield from _members(raw, largest, depth)
    else:
        yield raw


def _gunzipped(raw: bytes, largest: int) -> bytes | ErrorClass:
    parts: list[bytes] = []
    size, rest = 0, raw
    try:
        while rest.startswith(_GZIP):
            stream = zlib.decompressobj(wbits=31)
            while rest and not stream.eof:
                parts.append(stream.decompress(rest, _CHUNK))
                rest = stream.unconsumed_tail
                size += len(parts[-1])
                if size > largest:
                    return ErrorClass.TOO_LARGE
            if not stream.eof:
                return ErrorClass.BROKEN_ARCHIVE
            rest = stream.unused_data
    except zlib.error:
        return ErrorClass.BROKEN_ARCHIVE
    return b"".join(parts)


def _members(raw: bytes, largest: int, depth: int) -> Iterator[bytes | ErrorClass]:
    left = largest
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [member for member in archive.infolist() if not member.is_dir()]
            if not names:
                yield ErrorClass.EMPTY
            for member in names:
                content = _member(archive, member, left)
                left -= len(content) if isinstance(content, bytes) else 0
                if isinstance(content, bytes):
                    yield from _unpacked(content, left, depth + 1)
                else:
                    yield content
    except _BROKEN:
        yield ErrorClass.BROKEN_ARCHIVE


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, largest: int) -> bytes | ErrorClass:
    try:
        with archive.open(member) as file:
            content = file.read(largest + 1)
    except _BROKEN:
        return ErrorClass.BROKEN_ARCHIVE
    return ErrorClass.TOO_LARGE if len(content) > largest else content
