"""Addresses in the Latin alphabet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import CHECKED, KEYWORDED, RECOGNISERS, Shaped, Span
from ringfence.deid.specimen import Specimen, framed

_AFTER = (  # behind the name: 12 Baker Street
    "Street St Str Avenue Ave Av Road Rd Boulevard Blvd Lane Ln Drive Dr Court Ct Place Pl Plaza Square Sq Terrace Ter Way Highway Hwy Parkway Pkwy"
    " Close Crescent Cres Grove Gardens Mews Row Walk Circle Cir Loop Trail Alley Extension Extensions Bypass Green Greens Hill Hills Park Quay Rise Route"
    " Turnpike Union Unions Crossing Junction Manor Meadow Meadows Ridge View Village Vista Estate Estates Heights Point Spur Viaduct"
).split()
_BEFORE = (  # before it: Rue Gafsa 62, ul. Grochowa 80
    "Rue|Avenue|Av\\.|Ave\\.|Avda\\.|Avenida|Boulevard|Bd|Via|Viale|Piazza|Corso|Calle|Camino|Carrer|Paseo|Plaza|Rua|R\\.|Travessa|Praça|Largo|Estrada|Rúa"
    "|Ulica|Ulice|Straße|Am|Im|Zum|Chemin|Impasse|Place|Quai"
)
_GLUED = (  # as its last part: Parijsstraat 8
    "strasse|straße|str\\.|gasse|weg|platz|allee|ring|damm|ufer|steig|vägen|vagen|gatan|gata|gränd|stigen|veien|vegen|vei|gade|gårdsvej|vej|stræde|straat|laan"
    "|plein|kade|dijk|singel|tie|katu|kuja|polku|tänav|stræti|straeti|stígur|stigur|vegur|braut"
)
_UNIT_WORDS = "Apt\\.?|APT\\.?|apt\\.?|Apartment|Suite|SUITE|suite|Ste\\.?|Flat"
_LETTER = r"(?:(?![\u2e80-\uffff])[^\W\d_])"  # not a Chinese character
_REST = r"(?:(?![\u2e80-\uffff])[\w'’.\-])*"
_CAPITAL = r"[A-ZÀ-ÖØ-Þ\u0100-\u024f\u0370-\u03ff\u0400-\u042f]"
_WORD = rf"{_LETTER}{_REST}"
_CAPITALISED = rf"(?:\(?{_CAPITAL}{_REST}\)?|de|del|la|le|of|am|an|der)"
_NUMBER = r"[0-9]{1,6}[A-Za-z]?(?:[/\-][0-9]{1,4}[A-Za-z]?)?"
_GAP = r"[ ,\n>?]{1,8}"  # between the lines of an address, also quoted ones
_LEFT_NUMBER = re.compile(
    rf"(?<![0-9A-Za-z])(?:{_NUMBER} ){{1,2}}(?:[NSEW]\.? )?(?:{_CAPITALISED}|[0-9]{{1,3}}(?:st|nd|rd|th)|rue|via|calle) (?:{_WORD} ){{0,3}}?$"
)
_NAMED = re.compile(r"\.? [A-Z][a-z]+")
_LEFT_NUMBERS = re.compile(rf"(?<![0-9A-Za-z])(?:{_NUMBER} ){{1,2}}$")
_NAME_AND_NUMBER = re.compile(rf" (?:[a-zà-ÿ]{{1,3}} )?(?:{_WORD} ){{0,4}}?{_WORD},? {_NUMBER}(?![0-9A-Za-z])")
_RIGHT_NUMBER = re.compile(rf" {_NUMBER}(?![0-9A-Za-z])")
_UNIT = re.compile(rf"{_GAP}(?:{_UNIT_WORDS}|Unit|Floor|Room|#) ?[0-9A-Z][0-9A-Za-z\-]{{0,5}}(?![0-9A-Za-z])")
_PLACE = rf"(?!(?:PSC|Box|Unit|[AFD]PO)\\b)\(?{_WORD}\)?(?: \(?{_WORD}\)?){{0,3}}"
_POSTCODE = r"(?:(?:(?!PSC)[A-Z]{1,3}[ \-])?[0-9]{4,6}(?:-[0-9]{3,4})?|[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2})(?![0-9A-Za-z])"
_CITY = re.compile(rf"{_GAP}(?:{_PLACE}{_GAP}){{0,4}}?(?:[0-9]{{1,3}} )?{_POSTCODE}")
_EUROPEAN = re.compile(rf"(?:, ?|\n ?)(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}} {_CAPITAL}{_REST}(?: {_CAPITAL}{_REST}){{0,2}}")  # 69002 Lyon
_LEFT_OF_UNIT = re.compile(
    rf"(?<![0-9A-Za-z])(?:(?:{_NUMBER} )?(?:{_WORD} ){{1,5}}{_NUMBER}\.?|(?:{_NUMBER} ){{0,2}}(?:{_CAPITALISED} ){{0,4}}(?:{_NUMBER} )?(?:{_CAPITALISED} ){{0,3}}"
    rf"{_CAPITALISED}){_GAP}$"
)
_CORNER = re.compile(r"(?:the )?corner of $")
_OTHER_STREET = re.compile(rf" and {_CAPITALISED}(?: {_CAPITALISED}){{0,3}}")
_TOWN = re.compile(
    rf"(?:{_GAP}{_CAPITALISED}(?: {_CAPITALISED}){{0,3}}){{1,3}}(?=\s{{0,3}}(?:[.?!;:)\x00]|\n|$))"
)  # to where the sentence or the line ends
_FRENCH = re.compile(rf"(?: (?:de|du|des|la|le|les|d['’]|l['’]))*(?: ?{_CAPITAL}{_REST}(?: {_CAPITAL}{_REST}){{0,3}})")
_ROADS = frozenset({"rue ", "avenue ", "boulevard ", "bd ", "chemin ", "impasse ", "place ", "quai "})
_FIRST_HAN = "\u2e80"  # the first character of the blocks of Chinese and Japanese writing
_LOOK, _MOST = 60, 90  # characters to the left and right
_STREETS = tuple(
    "Birchmere Oakhollow Fernvale Stonewick Larkfield Maplethorn Ashbourne Willowmere Thornfield Elmstead Brackenhurst Foxdale".split()
)
_KEPT = frozenset(
    {
        *_AFTER,
        *map(str.upper, _AFTER),
        "Apt",
        "Apartment",
        "Suite",
        "Ste",
        "Flat",
        "Unit",
        "Floor",
        "Room",
        "Box",
        "PSC",
        "APO",
        "FPO",
        "DPO",
        "PO",
    }
    | {word.replace("\\.", "") for word in _BEFORE.split("|")}
)
_BOXES = ("p.o", "po", "p. o", "psc", "unit", "apo", "fpo", "dpo", "p o")
_SHIP = re.compile(r"(?<![A-Za-z])(?i:uss|usns|uscgc|usnv|usnv) [^\W\d_]+(?:[ \-][^\W\d_]+){0,2}[ ,\n>?]{1,8}$")
_UNIT_STARTS = ("Apt", "APT", "apt", "Suite", "SUITE", "suite", "Ste", "Flat")
_WORDS = re.compile(rf"{_LETTER}+|[0-9]+")


@RECOGNISERS.add("street-address.v1")
class StreetAddress(Shaped):
    """A number with a street, or a box or flat with its number; city, region and postcode when they follow.

    The words for street are English, French, German, Dutch, the Nordic, Spanish, Portuguese, Italian, Polish, Czech and Estonian ones.
    """

    kinds = frozenset({"STREET_ADDRESS"})
    example = "221 Baker Street, Apt. 4"
    pattern: ClassVar[str] = (
        rf" (?:{'|'.join(sorted({*_AFTER, *map(str.upper, _AFTER)}, key=lambda w: (-len(w), w)))})"
        rf"|(?:{_GLUED})[ ,]{{1,2}}[0-9]{{1,4}}"
        rf"|(?:{_BEFORE}|ul\.|ulica|ulice|út|utca|calle|rue|via|avenue|boulevard|chemin|impasse|quai) "
        rf"|(?:{_UNIT_WORDS}) #?[0-9]{{1,5}}"
        r"|P\.? ?O\.? ?Box [0-9]{1,6}|(?i:psc [0-9]{1,5},? box [0-9]{1,5}|unit [0-9]{1,5},? box [0-9]{1,5}|[afd]po a[aep] [0-9]{5})"
    )

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the address around a word for a street, a unit or a box."""
        core = _core(text, start, end)
        if core is None:
            return ()
        (first, last), score = core, KEYWORDED
        bound = min(len(text), last + _MOST)
        is_unit = text.startswith(_UNIT_STARTS, start)
        while unit := _UNIT.match(text, last, bound):
            last, is_unit = unit.end(), True
        if corner := _CORNER.search(text, max(0, first - _LOOK), first):
            first = corner.start()
            if other := _OTHER_STREET.match(text, last, bound):
                last = other.end() - (text[other.end() - 1] == ".")
        if cities := [city for form in (_CITY, _EUROPEAN) if (city := form.match(text, last, bound))]:
            last, score = max(_end(city) for city in cities), CHECKED
        elif (is_unit or text[last : last + 1] in (",", "\n")) and (town := _TOWN.match(text, last, bound)):
            last = town.end() - (text[town.end() - 1] == ".")
        return (Span(first, last, "STREET_ADDRESS", score),)

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        names = "Baker Oak Maple Washington Victoria Church Station Elm Highland Lincoln Cedar Park King Queen Albert Mill River Sunset Chestnut Jefferson Walnut Franklin Spring Hill Union"
        sorts = "Street St St. Avenue Ave Ave. Road Rd Lane Ln Drive Dr Boulevard Blvd Court Ct Place Way Terrace Crescent Close"
        street = f"{draw.randint(1, 9_999)}{draw.choice(('', '', 'A', 'B'))} {draw.choice(('', '', 'N ', 'West '))}{draw.choice(names.split())} {draw.choice(sorts.split())}"
        unit = draw.choice(
            (
                "",
                "",
                f", Apt {draw.randint(1, 40)}",
                f", Suite {draw.randint(100, 900)}",
                f" #{draw.randint(1, 99)}",
                f", Flat {draw.randint(1, 30)}",
                f", Unit {draw.randint(1, 60)}",
            )
        )
        european = draw.choice(
            (
                f"Hauptstraße {draw.randint(1, 200)}",
                f"Bahnhofstrasse {draw.randint(1, 200)}",
                f"{draw.randint(1, 200)} rue de la République",
                f"Calle Mayor {draw.randint(1, 200)}",
                f"Via Garibaldi {draw.randint(1, 200)}",
                f"PO Box {draw.randint(1, 9_999)}",
            )
        )
        return framed(
            "STREET_ADDRESS",
            draw.choice(("", "", "Address: ", "lives at ", "地址：")),
            european if draw.random() < 0.15 else street + unit,  # noqa: PLR2004
        )

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return an address of the same layout: invented names in place of words that are capitalised, other numbers; words for streets and units stay."""
        return _WORDS.sub(lambda word: _another(word[0], draw), value)


def _another(word: str, draw: Draw) -> str:
    if word.isdigit():
        return draw.choice("123456789") + draw.text("0123456789", len(word) - 1)
    if word.rstrip(".") in _KEPT or len(word) < 3 or word.islower():  # noqa: PLR2004  of, de, la, OH
        return word if word.rstrip(".") in _KEPT else draw.scramble(word)
    name = draw.choice(_STREETS)
    return name.upper() if word.isupper() else name


_Range = tuple[int, int]


def _core(text: str, start: int, end: int) -> _Range | None:
    """Return the range of the line that has the number."""
    found = text[start:end]
    if found.lower().startswith(_BOXES):
        ship = _SHIP.search(text, max(0, start - _LOOK), start)
        return ship.start() if ship else _with_numbers(text, start), end
    if found[0] == " ":
        return _numbered(text, start, end)
    if found[-1].isdigit():
        return _unit(text, start, end) if found.startswith(_UNIT_STARTS) else _glued(text, start, end)
    return _named(text, start, end)


def _with_numbers(text: str, start: int) -> int:
    """Return where the numbers begin that stand before `start`."""
    numbers = _LEFT_NUMBERS.search(text, max(0, start - _LOOK), start)
    return numbers.start() if numbers else start


def _numbered(text: str, start: int, end: int) -> _Range | None:  # 12 Baker Street
    number = _LEFT_NUMBER.search(text, max(0, start - _LOOK), start + 1)
    if number is None or _goes_on(text, end):
        return None
    street, name = text[start + 1 : end], text[number.start() : start].rsplit(" ", maxsplit=1)[-1]
    if street.isupper() and not name.isupper():  # a chest CT
        return None
    if street == "Dr" and _NAMED.match(text, end) and not _CITY.match(text, end + (text[end] == ".")):  # at 5 PM Dr Miller
        return None
    return number.start(), end + (text[end : end + 1] == ".")


def _unit(text: str, start: int, end: int) -> _Range | None:  # Suite 380, and a street before it
    street = _LEFT_OF_UNIT.search(text, max(0, start - _LOOK), start)
    return None if _goes_on(text, start - 1) else (street.start() if street else start, end)


def _glued(text: str, start: int, end: int) -> _Range | None:  # Parijsstraat 8
    left = max(0, start - _LOOK)
    while start > left and (_is_letter(text[start - 1]) or text[start - 1] in "-'’"):
        start -= 1
    is_name = text[start].isupper() and not _goes_on(text, end)
    return (_with_numbers(text, start), end) if is_name else None


def _named(text: str, start: int, end: int) -> _Range | None:  # Rue Gafsa 62
    if start and _goes_on(text, start - 1):
        return None
    stop = min(len(text), end + _LOOK)
    first, right, name = _with_numbers(text, start), _NAME_AND_NUMBER.match(text, end - 1, stop), _FRENCH.match(text, end - 1, stop)
    is_french = name is not None and first < start and text[start:end].lower() in _ROADS  # 30 rue de la République, 69002 Lyon
    if name and is_french and (right is None or "," in right[0]):
        return first, _end(name)
    return (first, right.end()) if right else None


def _end(match: re.Match[str]) -> int:
    """Return where a match ends, without the full stop of its sentence."""
    is_stop = match[0].endswith(".") and match[0].rstrip(".").rsplit(" ", maxsplit=1)[-1] not in _AFTER
    return match.end() - is_stop


def _is_letter(character: str) -> bool:
    """Return True for a letter of an alphabet: an address may stand in Chinese text."""
    return character.isalpha() and character < _FIRST_HAN


def _goes_on(text: str, at: int) -> bool:
    """Return True if the character at this place belongs to a word or a number in an alphabet."""
    return 0 <= at < len(text) and text[at].isalnum() and text[at] < _FIRST_HAN
