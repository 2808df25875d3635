"""The message schema of the specification (header, metadata, payload): encode, decode, validate.

Used by publishers, consumers, `reasond load` and the plausibility checks. Unknown fields are tolerated on
read; who sets a message aside forwards the original bytes, so that they are preserved.
"""

import re
from datetime import datetime, timedelta
from typing import Literal, Optional, Tuple, Union

import msgspec
from msgspec import Meta, Struct
from typing_extensions import Annotated

from reasond.errors import MessageInvalid

MAX_BODY_BYTES = 262144
"""Largest body that is decoded; the rabbitmq role sets the broker's max_message_size to the same."""

CONTENT_TYPE = "application/json"
SCHEMA_VERSION = "1.0"

Genre = Literal["fictional", "non-fictional"]
Priority = Literal["low", "normal", "high"]
GENRES: Tuple[Genre, ...] = ("fictional", "non-fictional")
PRIORITIES: Tuple[Priority, ...] = ("low", "normal", "high")

_UUID4 = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\Z"
MessageId = Annotated[str, Meta(pattern=_UUID4)]
Timestamp = Annotated[datetime, Meta(tz=True)]
Version = Annotated[str, Meta(pattern=r"^1\.[0-9]+\Z", max_length=20)]
Source = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*-[0-9]+\Z", max_length=100)]
EntityId = Annotated[str, Meta(pattern=r"^book_[A-Za-z0-9_-]+\Z", max_length=200)]
ActionToken = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+\Z", max_length=100)]
# RabbitMQ's per-message expiration is a count of milliseconds that must fit 32 bits unsigned.
TtlSeconds = Annotated[int, Meta(gt=0, le=4294967)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class Header(Struct, frozen=True, gc=False):
    """Who sent the message, when, and under which id."""

    message_id: MessageId
    timestamp: Timestamp
    version: Version
    source: Source


class Metadata(Struct, frozen=True, gc=False):
    """How the message is to be routed and for how long it is of use."""

    genre_type: Genre
    priority: Priority
    ttl_seconds: TtlSeconds
    publisher_reasoning: str


class Coordinates(Struct, frozen=True, gc=False):
    """A place on Earth, WGS 84 degrees."""

    lat: Latitude
    lng: Longitude


class Payload(Struct, frozen=True, gc=False):
    """What happened to which book, and where."""

    entity_id: EntityId
    action: ActionToken
    coordinates: Coordinates
    context: str


class Message(Struct, frozen=True, gc=False):
    """One message of the flow, as the specification's schema has it."""

    header: Header
    metadata: Metadata
    payload: Payload


class Invalid(Struct, frozen=True, gc=False):
    """A body that is no message: `path` is the JSON path of the fault ("$" for the whole), `reason` what is wrong."""

    path: str
    reason: str


_UTC_OFFSET = timedelta(0)
_decoder = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()
_AT_PATH = re.compile(r"^(?P<reason>.*) - at `(?P<path>\$.*)`$", re.DOTALL)


def encode(message: Message) -> bytes:
    """Give the message's JSON body, UTF-8."""
    return _encoder.encode(message)


def decode(body: bytes) -> Message:
    """Read a body as a message.

    Raises MessageInvalid with the JSON path of the first fault and what is wrong there.
    """
    if len(body) > MAX_BODY_BYTES:
        raise MessageInvalid("$", "{} bytes, over the limit of {}".format(len(body), MAX_BODY_BYTES))
    try:
        message = _decoder.decode(body)
    except msgspec.ValidationError as err:
        raise _located(err) from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise MessageInvalid("$", "not JSON: {}".format(err)) from err
    except RecursionError as err:
        raise MessageInvalid("$", "nested too deep") from err
    if message.header.timestamp.utcoffset() != _UTC_OFFSET:
        raise MessageInvalid("$.header.timestamp", "not UTC (offset must be Z or +00:00)")
    return message


def read(body: bytes) -> Union[Message, Invalid]:
    """Read a body as a message, or tell why it is none; never raises."""
    try:
        return decode(body)
    except MessageInvalid as err:
        return Invalid(path=err.path, reason=err.reason)


def read_as(body: bytes, content_type: Optional[str]) -> Union[Message, Invalid]:
    """Read a body that came with this content type, absent or application/json with any parameters; never raises."""
    if content_type is None or content_type == CONTENT_TYPE:
        return read(body)
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        return Invalid("$", "content type {!r} is not {}".format(content_type[:100], CONTENT_TYPE))
    return read(body)


def _located(err: msgspec.ValidationError) -> MessageInvalid:
    match = _AT_PATH.match(str(err))
    if match is None:
        return MessageInvalid("$", str(err))
    return MessageInvalid(match.group("path"), match.group("reason"))
