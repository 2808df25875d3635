"""Makes a picture of Chromium's smaller: at most 256 colours instead of 16 million, with the standard library alone."""

import struct
import zlib
from collections import Counter
from typing import Iterator, List, Tuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_COLOURS = 256
# Squared distance of two colours that nobody tells apart in a line or a letter.
ALIKE = 3 * 3**2
# Of an image header: 8 bits a channel; then a colour is red, green and blue, or a place in the palette.
EIGHT_BITS, RGB, PALETTE = 8, 2, 3

Colour = Tuple[int, int, int]


def with_palette(png: bytes) -> bytes:
    """Give the same picture with the colours it has most of that differ; each other becomes the nearest of these.

    Given is a PNG in RGB without interlacing, as Chromium writes it; raises ValueError for any other.
    """
    chunks = list(_chunks(png))
    width, height, bits, kind, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    if (bits, kind, interlaced) != (EIGHT_BITS, RGB, 0):
        raise ValueError(f"not a plain RGB picture: {bits} bits, kind {kind}, interlacing {interlaced}")
    lines = _lines(zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT")), width)
    pixels = [list(zip(line[0::3], line[1::3], line[2::3])) for line in lines]
    counts = Counter(colour for line in pixels for colour in line)
    palette = _palette([colour for colour, _ in counts.most_common()])
    places = {colour: _nearest(colour, palette) for colour in counts}
    # No filter: neighbours in a palette have nothing to do with each other.
    packed = zlib.compress(b"".join(b"\0" + bytes([places[colour] for colour in line]) for line in pixels), 9)
    header = struct.pack(">IIBBBBB", width, height, EIGHT_BITS, PALETTE, 0, 0, 0)
    colours = bytes(part for colour in palette for part in colour)
    made = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", packed), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(name, data) for name, data in made)


def _chunks(png: bytes) -> Iterator[Tuple[bytes, bytes]]:
    if not png.startswith(SIGNATURE):
        raise ValueError("not a PNG")
    at = len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _lines(raw: bytes, width: int) -> List[bytearray]:
    """Undo the filter that each line begins with the number of."""
    size, made = 3 * width + 1, [bytearray(3 * width)]
    for start in range(0, len(raw), size):
        line, above = bytearray(raw[start + 1 : start + size]), made[-1]
        kind = raw[start]
        for at in range(len(line)) if kind else ():
            left, corner = (line[at - 3], above[at - 3]) if at >= 3 else (0, 0)
            line[at] = (line[at] + _guess(kind, left, above[at], corner)) & 255
        made.append(line)
    return made[1:]


def _guess(kind: int, left: int, above: int, corner: int) -> int:
    """Give what a filter takes a byte to be: left, above, their mean, or whichever fits left + above - corner best."""
    if kind < 4:
        return (0, left, above, (left + above) // 2)[kind]
    fits = left + above - corner
    return min((left, above, corner), key=lambda value: abs(fits - value))


def _palette(colours: List[Colour]) -> List[Colour]:
    """Give as many colours as there may be: a tile's shades must not crowd out a line that is thin."""
    if len(colours) <= MOST_COLOURS:
        return colours
    chosen: List[Colour] = []
    for colour in colours:
        if all(_distance(colour, other) > ALIKE for other in chosen):
            chosen.append(colour)
            if len(chosen) == MOST_COLOURS:
                break
    return chosen


def _distance(one: Colour, other: Colour) -> int:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2


def _nearest(colour: Colour, palette: List[Colour]) -> int:
    return min(range(len(palette)), key=lambda at: _distance(palette[at], colour))
