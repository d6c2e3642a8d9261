"""Nationalities, religions and politics of people, by a list: special categories under Article 9 of the GDPR and Article 28 of the PIPL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from ringfence.deid.draw import Draw
from ringfence.deid.recogniser import RECOGNISERS, SHAPE, Shaped, Span, cuts_a_word
from ringfence.deid.specimen import Specimen, bare

_PEOPLES = (
    "Afghan Albanian Algerian American Angolan Argentine Argentinian Armenian Australian Austrian Azerbaijani Bahraini Bangladeshi Belarusian Belgian "
    "Bolivian Bosnian Brazilian British Bulgarian Burmese Cambodian Cameroonian Canadian Chadian Chilean Chinese Colombian Congolese Croatian Cuban "
    "Cypriot Czech Danish Dominican Dutch Ecuadorian Egyptian Emirati English Eritrean Estonian Ethiopian Fijian Filipino Finnish French Gabonese "
    "Georgian German Ghanaian Greek Guatemalan Guinean Haitian Honduran Hungarian Icelandic Indian Indonesian Iranian Iraqi Irish Israeli Italian "
    "Jamaican Japanese Jordanian Kazakh Kenyan Korean Kurdish Kuwaiti Laotian Latvian Lebanese Liberian Libyan Lithuanian Luxembourgish Macedonian "
    "Malagasy Malaysian Malian Maltese Mauritanian Mexican Moldovan Mongolian Moroccan Mozambican Namibian Nepalese Nepali Nicaraguan Nigerian "
    "Norwegian Omani Pakistani Palestinian Panamanian Paraguayan Peruvian Polish Portuguese Qatari Romanian Russian Rwandan Salvadoran Saudi Scottish "
    "Senegalese Serbian Singaporean Slovak Slovenian Somali Spanish Sudanese Surinamese Swedish Swiss Syrian Taiwanese Tajik Tanzanian Thai Tibetan "
    "Togolese Tunisian Turkish Turkmen Ugandan Ukrainian Uruguayan Uyghur Uzbek Venezuelan Vietnamese Welsh Yemeni Zambian Zimbabwean European African "
    "Asian Arab Hispanic Latino Latina Caucasian"
).split()
_BELIEFS = (
    "Catholic Protestant Christian Jewish Muslim Islamic Hindu Buddhist Sikh Mormon Orthodox Lutheran Baptist Anglican Methodist Sunni Shia Shiite Atheist "
    "Republican Democrat Democratic Communist Socialist Conservative"
).split()
_CHINESE = "汉族 回族 藏族 满族 蒙古族 维吾尔族 壮族 苗族 彝族 土家族 朝鲜族 侗族 瑶族 白族 哈尼族 哈萨克族 傣族 黎族 基督徒 天主教徒 穆斯林 佛教徒 中共党员 共产党员".split()
_PLURAL = re.compile(r"(?:s|men|man|women|woman)?(?![A-Za-z0-9])")


@RECOGNISERS.add("nationality.v1")
class Nationality(Shaped):
    """Words of a list, capitalised as English writes them, and the peoples of China by name. A language or a dish is one, too."""

    kinds = frozenset({"NATIONALITY"})
    example = "Norwegian"
    pattern: ClassVar[str] = "|".join(sorted({*_PEOPLES, *_BELIEFS, *_CHINESE}, key=lambda w: (-len(w), w)))

    def check(self, text: str, start: int, end: int) -> Sequence[Span]:
        """Return the word with its plural if no longer word begins or ends with it."""
        if not text[start].isascii():
            return (Span(start, end, "NATIONALITY", SHAPE),)
        plural = _PLURAL.match(text, end)
        if cuts_a_word(text, start) or plural is None:
            return ()
        return (Span(start, plural.end(), "NATIONALITY", SHAPE),)

    def normalise(self, value: str) -> str:
        """Return the word in lower case."""
        return value.lower()

    def specimen(self, draw: Random) -> Specimen:
        """Return one as people write it."""
        names = "American British French German Italian Spanish Portuguese Dutch Belgian Swiss Austrian Swedish Norwegian Danish Finnish Polish Czech Hungarian Romanian Bulgarian Greek Turkish Russian Ukrainian Chinese Japanese Korean Vietnamese Thai Indonesian Malaysian Filipino Indian Pakistani Bangladeshi Iranian Iraqi Israeli Egyptian Moroccan Algerian Nigerian Kenyan Ethiopian Ghanaian Canadian Mexican Brazilian Argentinian Chilean Colombian Peruvian Cuban Australian Irish Scottish Welsh Icelandic Croatian Serbian"
        return bare("NATIONALITY", draw.choice(names.split()))

    def surrogate(self, value: str, draw: Draw) -> str:
        """Return another word of its list."""
        if not value.isascii():
            return draw.choice([word for word in _CHINESE if word != value])
        words = _BELIEFS if value.removesuffix("s") in _BELIEFS else _PEOPLES
        return draw.choice([word for word in words if word not in value])
