"""Words: lists written for this corpus, and words nobody ever used, made of syllables.

Names from a fixed list are learnt by heart. Only words that never come twice teach a model to copy.
"""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

from collections.abc import Callable

from models.corpus.source import Source

NOUNS = (
    "apple river stone garden window letter basket mountain bridge candle forest kitchen harbour pencil blanket "
    "engine bottle mirror village carpet ladder meadow ticket pillow hammer station island butter lantern orchard "
    "wheel curtain bakery valley saddle engineer painter teacher farmer sailor doctor neighbour cousin visitor baker "
    "gardener pilot student singer horse cat dog fox owl rabbit heron trout beetle donkey goose squirrel badger "
    "bread cheese soup coffee tea honey rice onion carrot lemon plum cherry walnut pepper salad cake sugar paper book "
    "chair table lamp door wall roof floor clock phone camera radio printer keyboard screen server cable battery "
    "folder file note report invoice budget meeting project schedule deadline contract review summary release "
    "street market library museum theatre school hospital office factory farm beach tunnel tower castle church "
    "rain snow wind cloud storm morning evening summer winter spring autumn holiday journey train boat bicycle "
    "problem question answer reason story song picture colour number word sentence language lesson answer"
).split()
ADJECTIVES = (
    "old new small large quiet loud bright dark warm cold green red blue yellow white black grey brown gentle "
    "clever tired happy proud strange simple heavy light empty full narrow wide deep short long slow quick early late "
    "wooden golden silver broken clean dusty fresh sweet bitter soft rough sharp round flat tall modern famous local "
    "open secret careful brave busy calm careless cheap curious honest lazy lucky merry patient rare safe shy wet"
).split()
VERBS = (
    "opened closed found lost painted carried followed watched moved visited repaired cleaned counted sold bought "
    "crossed reached left built covered filled lifted pushed pulled dropped kept measured noticed remembered showed "
    "touched turned washed wrapped borrowed checked fixed finished started stopped wanted liked described drew heard"
).split()
VERBS_NOW = (
    "open close find check update delete create list send show start stop book order count measure move copy rename "
    "archive print scan share sort merge split export import repair clean paint rent sell buy track translate compare"
).split()
PREPOSITIONS = (
    "near|behind|beside|under|above|inside|outside|across from|next to|in front of|at the end of|on top of|close to"
).split("|")
TIMES = (
    "in the morning|after lunch|before sunrise|last night|every Monday|on a rainy day|at noon|for three hours|"
    "twice a week|in late autumn|during the holidays|on Friday|all day long|early this year|without a word"
).split("|")
FIRST_NAMES = (
    "Ana Ben Clara David Elena Finn Greta Hugo Ines Jonas Kira Leo Mira Noah Olga Paul Rosa Sam Tara Umar Vera Will "
    "Yara Zoe Anna Maria Tom Peter Lucy James Emma Oscar Nina Karim Lena Marco Sofia Ivan Aisha Kenji Priya Chen Omar "
    "Alice Bob Carol John Mary Max Julia Sara Laura Pedro Luis Eva Ali Nora Mei Raj Tim Kate"
).split()
CITIES = (
    "Porto Lisbon Madrid Paris Berlin Rome Vienna Oslo London Dublin Prague Athens Cairo Lima Quito Tokyo Kyoto Delhi "
    "Seoul Boston Chicago Toronto Sydney Nairobi Lagos Munich Hamburg Milan Naples Seville Geneva Zurich Helsinki "
    "Warsaw Budapest Istanbul Dakar Hanoi Manila Denver Seattle Austin Bristol Leeds Glasgow York Bergen Ghent"
).split()
COUNTRIES = (
    "Portugal Spain France Germany Italy Norway Ireland Greece Egypt Peru Japan India Korea Canada Kenya Brazil Chile "
    "Poland Turkey Mexico Finland Sweden Denmark Austria Hungary Ghana Vietnam Iceland"
).split()
JOBS = (
    "teacher|baker|nurse|carpenter|pilot|painter|doctor|engineer|farmer|gardener|lawyer|cook|driver|musician|writer|"
    "designer|plumber|librarian|dentist|photographer|tailor|programmer|waiter|sailor|chemist"
).split("|")
COLOURS = "red blue green yellow black white grey brown orange purple pink silver".split()
LANGUAGES = "French German Spanish Italian Dutch Greek Polish Turkish Japanese Korean Latin Danish Finnish".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = ("January February March April May June July August September October November December").split()

ONSETS = (
    "b c d f g h j k l m n p r s t v w z br cl dr fr gl gr kr pl pr sh sk sl sp st th tr ch qu x y bl cr fl sm sn sw "
    "wh str"
).split()
VOWELS = "a e i o u a e i o u a e i o u ai ea ee ie oa oo ou y au io ia".split()
CODAS = " | | | | |n|r|s|l|t|m|d|k|p|g|x|nd|st|rt|ck|ll|ss|ng|nt|sh|th|z|b|ff|lm|mp|ld|rk|rn".split("|")


def invented(source: Source, low: int = 1, high: int = 3) -> str:
    """A lower-case word of *low* to *high* syllables that very likely never existed."""
    return "".join(
        source.pick(ONSETS) * source.chance(0.85) + source.pick(VOWELS) + source.pick(CODAS).strip()
        for _ in range(source.number(low, high))
    )


def name(source: Source) -> str:
    """A first name, mostly an invented one."""
    return source.pick(FIRST_NAMES) if source.chance(0.35) else invented(source, 1, 3).capitalize()


def full_name(source: Source) -> str:
    """A first name, sometimes with a family name."""
    return name(source) + (f" {invented(source, 1, 3).capitalize()}" if source.chance(0.35) else "")


def city(source: Source) -> str:
    """A city, mostly an invented one, sometimes of two words."""
    if source.chance(0.35):
        return source.pick(CITIES)
    lead = source.pick(("New ", "San ", "Port ", "Old ", "Saint ", "North ")) if source.chance(0.15) else ""
    return lead + invented(source, 1, 3).capitalize()


def word(source: Source) -> str:
    """Any single word: known, invented, a number or an identifier."""
    choices: tuple[tuple[float, Callable[[], str]], ...] = (
        (3, lambda: source.pick((NOUNS, ADJECTIVES, VERBS, COLOURS))[source.number(0, 11)]),
        (4, lambda: source.pick(source.pick((NOUNS, ADJECTIVES, VERBS, VERBS_NOW)))),
        (6, lambda: invented(source)),
        (2, lambda: invented(source).capitalize()),
        (0.7, lambda: str(source.number(0, 10 ** source.number(1, 5)))),
        (0.4, lambda: f"{invented(source, 1, 2)}-{source.number(1, 99)}"),
        (0.3, lambda: invented(source, 1, 2).upper()),
    )
    return source.likely(choices)()


def path(source: Source) -> str:
    """A file path."""
    parts = [source.pick((source.pick(NOUNS), invented(source))) for _ in range(source.number(1, 3))]
    ending = source.pick(("txt", "md", "csv", "json", "py", "log", "pdf", "toml", "html"))
    return source.pick(("", "", "/", "./", "~/")) + "/".join(parts) + "." + ending


def email(source: Source) -> str:
    """An address for mail."""
    return (
        f"{invented(source, 1, 2)}@{invented(source, 1, 2)}.{source.pick(('com', 'org', 'net', 'example', 'io'))}"
    )


def sentence(source: Source) -> str:
    """A plain sentence, with an invented word here and there."""

    def noun() -> str:
        return invented(source) if source.chance(0.15) else source.pick(NOUNS)

    def thing() -> str:
        head = name(source) if source.chance(0.2) else f"the {noun()}"
        return (
            head if source.chance(0.5) or not head.startswith("the") else f"the {source.pick(ADJECTIVES)} {noun()}"
        )

    text = f"{thing()} {source.pick(VERBS)} {thing()}"
    if source.chance(0.5):
        text += f" {source.pick(PREPOSITIONS)} {thing()}"
    if source.chance(0.35):
        text += f" {source.pick(TIMES)}"
    if source.chance(0.12):
        text += f", {source.pick(('and', 'but', 'so', 'while'))} {thing()} {source.pick(VERBS)} {thing()}"
    return text[0].upper() + text[1:] + "."
