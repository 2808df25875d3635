"""Real places for made-up journeys: the cities of the system's time-zone table, and distances on Earth.

Used by the generator. The table (tz database, file zone1970.tab) names one well-known place a zone, with its
coordinates; the Python package tzdata carries a copy for systems without.
"""

import functools
import math
import pkgutil
import re
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from reasond.errors import InputError

TABLES: Tuple[str, ...] = ("zone1970.tab", "zone.tab")
SYSTEM_DIRECTORY = Path("/usr/share/zoneinfo")
EARTH_RADIUS_KM = 6371.0
"""Kilometres: a sphere is under 0.6 % off, far less than speeds here differ."""
_ISO_6709 = re.compile(r"^([+-])(\d{2})(\d{2})(\d{2})?([+-])(\d{3})(\d{2})(\d{2})?$")


class Place(NamedTuple):
    """A city: its name and its coordinates in degrees, WGS 84."""

    name: str
    lat: float
    lng: float


@functools.lru_cache(maxsize=None)
def all_places() -> Tuple[Place, ...]:
    """Give the places of the system's time-zone table, Antarctica's stations left out.

    Raises InputError when no table can be found.
    """
    for text in _tables(SYSTEM_DIRECTORY):
        places = parse(text)
        if places:
            return places
    raise InputError(
        "no time-zone table: neither {} nor the Python package tzdata has {}; "
        "install either (apt-get install tzdata)".format(SYSTEM_DIRECTORY, " or ".join(TABLES))
    )


def parse(text: str) -> Tuple[Place, ...]:
    """Read a time-zone table (zone1970.tab(5) or zone.tab(5)); lines that don't fit are left out."""
    places: List[Place] = []
    for line in text.splitlines():
        columns = line.split("\t")
        if line.startswith("#") or len(columns) < 3 or columns[2].startswith("Antarctica/"):
            continue
        match = _ISO_6709.match(columns[1])
        if match is not None:
            parts = match.groups()
            places.append(Place(_name(columns[2]), _degrees(parts[:4]), _degrees(parts[4:])))
    return tuple(places)


def distance_km(lat_a: float, lng_a: float, lat_b: float, lng_b: float) -> float:
    """Give the great-circle distance of two points in degrees (haversine)."""
    phi_a, phi_b = math.radians(lat_a), math.radians(lat_b)
    half = (
        math.sin((phi_b - phi_a) / 2) ** 2
        + math.cos(phi_a) * math.cos(phi_b) * math.sin(math.radians(lng_b - lng_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, half)))


def apart_km(start: Place, end: Place) -> float:
    """Give the great-circle distance of two places."""
    return distance_km(start.lat, start.lng, end.lat, end.lng)


# The table has some 300 places: each is sorted for once, however many publishers share a process.
@functools.lru_cache(maxsize=512)
def nearest(start: Place, places: Tuple[Place, ...], count: int) -> Tuple[Place, ...]:
    """Give the `count` places that are nearest to one of them, itself left out, the nearest first."""
    others = [place for place in places if place != start]
    return tuple(sorted(others, key=lambda place: apart_km(start, place))[:count])


class Way:
    """The great circle from one place to another; what is the same all along it is worked out once."""

    __slots__ = ("_angle", "_ends", "_sine", "end", "length_km", "start")

    def __init__(self, start: Place, end: Place) -> None:
        """Measure the way."""
        self.start = start
        self.end = end
        self.length_km = apart_km(start, end)
        self._angle = self.length_km / EARTH_RADIUS_KM
        self._sine = math.sin(self._angle)
        self._ends = (_turned(start), _turned(end))

    def at(self, part: float) -> Tuple[float, float]:
        """Give the point (lat, lng in degrees) that lies `part` (0 to 1) of the way along."""
        angle = self._angle
        if angle < 1e-9 or part <= 0.0:
            return self.start.lat, self.start.lng
        if part >= 1.0:
            return self.end.lat, self.end.lng
        weights = (math.sin((1 - part) * angle) / self._sine, math.sin(part * angle) / self._sine)
        x = y = z = 0.0
        for weight, (cos_phi, sin_phi, cos_theta, sin_theta) in zip(weights, self._ends):
            x += weight * cos_phi * cos_theta
            y += weight * cos_phi * sin_theta
            z += weight * sin_phi
        return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def _turned(place: Place) -> Tuple[float, float, float, float]:
    """Give cosine and sine of a place's latitude, then of its longitude."""
    phi, theta = math.radians(place.lat), math.radians(place.lng)
    return math.cos(phi), math.sin(phi), math.cos(theta), math.sin(theta)


def _tables(directory: Path) -> Iterator[str]:
    for name in TABLES:
        try:
            yield (directory / name).read_text(encoding="utf-8")
        except OSError:
            continue
    for name in TABLES:
        try:
            data = pkgutil.get_data("tzdata", "zoneinfo/" + name)
        except OSError:
            continue
        if data is not None:
            yield data.decode("utf-8")


def _name(zone: str) -> str:
    return zone.rpartition("/")[2].replace("_", " ")


def _degrees(parts: Sequence[Optional[str]]) -> float:
    sign, degrees, minutes, seconds = parts
    value = int(degrees or 0) + int(minutes or 0) / 60 + int(seconds or 0) / 3600
    return -value if sign == "-" else value
