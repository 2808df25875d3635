"""One line of a feed as an item: JSON or CSV, a full message of the schema or a flat row.

Used by `feed`. A flat row has entity_id, lat, lng and genre_type, and may have action, context, priority,
ttl_seconds and message_id; a full message's header is made anew when it is published, but for its message_id.
"""

import csv
from typing import Any, Dict, List, Literal, Optional

import msgspec
from msgspec import Struct

from reasond.core.items import Item
from reasond.messages import (
    ActionToken,
    Coordinates,
    EntityId,
    Genre,
    Latitude,
    Longitude,
    MessageId,
    Payload,
    Priority,
    TtlSeconds,
)

Format = Literal["jsonl", "csv"]
CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
DEFAULT_ACTION = "location_update"
"""The specification's one action."""


class RecordInvalid(ValueError):
    """A line that can't be published; its text says why."""


class _Flat(Struct, frozen=True):
    entity_id: EntityId
    lat: Latitude
    lng: Longitude
    genre_type: Genre
    action: ActionToken = DEFAULT_ACTION
    context: str = ""
    priority: Priority = "normal"
    ttl_seconds: Optional[TtlSeconds] = None
    message_id: Optional[MessageId] = None


class _FullHeader(Struct, frozen=True):
    message_id: Optional[MessageId] = None


class _FullMetadata(Struct, frozen=True):
    genre_type: Genre
    priority: Priority = "normal"
    ttl_seconds: Optional[TtlSeconds] = None


class _Full(Struct, frozen=True):
    metadata: _FullMetadata
    payload: Payload
    header: _FullHeader = _FullHeader()


def format_of(path: str, first_line: bytes) -> Format:
    """Tell a feed's format by its name, or by its first line where the name says nothing."""
    if path.lower().endswith(CSV_SUFFIXES):
        return "csv"
    if path.lower().endswith(JSON_SUFFIXES):
        return "jsonl"
    return "jsonl" if first_line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{") else "csv"


def header_of(line: bytes) -> List[str]:
    """Give a CSV feed's column names.

    Raises RecordInvalid when the line can't be read.
    """
    return [name.strip() for name in _cells(line.decode("utf-8-sig", "replace"))]


def read(line: bytes, form: Format, columns: List[str], ttl_seconds: int) -> Item:
    """Read a line as an item; `ttl_seconds` is for one that names none, `columns` a CSV feed's header.

    Raises RecordInvalid telling what is wrong, with the JSON path where there is one.
    """
    try:
        fields = _csv_fields(line, columns) if form == "csv" else _json_fields(line)
        if "payload" in fields or "metadata" in fields:
            return _from_full(msgspec.convert(fields, _Full), ttl_seconds)
        return _from_flat(msgspec.convert(fields, _Flat, strict=form != "csv"), ttl_seconds)
    except (msgspec.DecodeError, msgspec.ValidationError) as err:
        raise RecordInvalid(str(err)) from err
    except UnicodeDecodeError as err:
        raise RecordInvalid(f"not UTF-8: {err}") from err
    except RecursionError as err:
        raise RecordInvalid("nested too deep") from err


def _from_flat(flat: _Flat, ttl_seconds: int) -> Item:
    return Item(
        genre=flat.genre_type,
        payload=Payload(flat.entity_id, flat.action, Coordinates(flat.lat, flat.lng), flat.context),
        ttl_seconds=flat.ttl_seconds or ttl_seconds,
        priority=flat.priority,
        message_id=flat.message_id,
    )


def _from_full(full: _Full, ttl_seconds: int) -> Item:
    return Item(
        genre=full.metadata.genre_type,
        payload=full.payload,
        ttl_seconds=full.metadata.ttl_seconds or ttl_seconds,
        priority=full.metadata.priority,
        message_id=full.header.message_id,
    )


def _json_fields(line: bytes) -> Dict[str, Any]:
    fields = msgspec.json.decode(line)
    if not isinstance(fields, dict):
        raise RecordInvalid("no JSON object")
    return fields


def _csv_fields(line: bytes, columns: List[str]) -> Dict[str, Any]:
    cells = _cells(line.decode("utf-8"))
    if len(cells) > len(columns):
        raise RecordInvalid(f"{len(cells)} cells under {len(columns)} columns")
    return {name: cell.strip() for name, cell in zip(columns, cells) if cell.strip()}


def _cells(text: str) -> List[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as err:
        raise RecordInvalid(f"no CSV: {err}") from err
    return rows[0] if rows else []
