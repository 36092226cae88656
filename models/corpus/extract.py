"""Filling a small JSON object from a text.

The engine forces the answer into the caller's schema by a grammar, and the model does not see that schema: the words
of the request name the fields, and the order of the keys may be any.
"""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.corpus.arithmetic import PRODUCT, SUM
from models.corpus.source import Conversation, Message, Source, Wordings, assistant, user
from models.corpus.words import (
    ADJECTIVES,
    COLOURS,
    COUNTRIES,
    DAYS,
    JOBS,
    LANGUAGES,
    MONTHS,
    NOUNS,
    city,
    email,
    full_name,
    invented,
    name,
    path,
    word,
)


@dataclass(frozen=True)
class Fact:
    """One thing a text may say: its possible keys, its value, and phrases that continue a sentence."""

    keys: tuple[str, ...]
    value: Callable[[Source], Any]
    phrases: Wordings


def _said(train: str, held_out: str, more: str) -> Wordings:
    return Wordings(train.split("|"), held_out.split("|"), more.split("|"))


def _cents(source: Source) -> float:
    return source.number(1, 99999) / 100


PERSON = (
    Fact(
        ("age", "age", "years"),
        lambda s: s.number(1, 99),
        _said(
            "is {v} years old|is {v}|is aged {v}|turned {v} this year",
            "is now {v} years old|just turned {v}",
            "has turned {v}|will be {v} years old soon|was {v} in May|celebrates the age of {v}|is already {v} years old|is only {v}",
        ),
    ),
    Fact(
        ("city", "city", "town", "home"),
        city,
        _said(
            "lives in {v}|is living in {v}|has a flat in {v}|comes from {v}|moved to {v}",
            "has a home in {v}|now lives in {v}",
            "resides in {v}|settled in {v}|is at home in {v}|stays in {v}|has lived in {v} for years|went to live in {v}|is from {v}",
        ),
    ),
    Fact(
        ("job", "job", "profession", "occupation"),
        lambda s: s.pick(JOBS) if s.chance(0.5) else invented(s),
        _said(
            "works as a {v}|is a {v}|has a job as a {v}|earns a living as a {v}",
            "is working as a {v}|became a {v}",
            "was trained as a {v}|likes to be a {v}|has worked as a {v} for years|makes money as a {v}|serves as a {v}|will become a {v}",
        ),
    ),
    Fact(
        ("email", "mail"),
        email,
        _said(
            "has the email {v}|can be reached at {v}|uses the address {v}",
            "has the mail address {v}|writes from {v}",
            "gets mail at {v}|reads mail sent to {v}|answers mail at {v}|has written from the address {v}|gave us the address {v}",
        ),
    ),
    Fact(
        ("country",),
        lambda s: s.pick(COUNTRIES) if s.chance(0.5) else invented(s).capitalize(),
        _said(
            "was born in {v}|grew up in {v}|holds a passport of {v}",
            "is originally from {v}",
            "comes from {v}|spent childhood in {v}|is a citizen of {v}|has family in {v}|was raised in {v}",
        ),
    ),
    Fact(
        ("language",),
        lambda s: s.pick(LANGUAGES),
        _said(
            "speaks {v}|is fluent in {v}|studies {v}",
            "is learning {v}",
            "teaches {v}|talks in {v}|understands {v}|can speak {v}|has learnt {v}|knows {v} well",
        ),
    ),
    Fact(
        ("pet", "animal"),
        lambda s: s.pick((s.pick(NOUNS), invented(s))),
        _said(
            "has a {v}|keeps a {v}|owns a {v}",
            "cares for a {v}",
            "looks after a {v}|bought a {v}|lives with a {v}|loves a {v}|feeds a {v}|adopted a {v}",
        ),
    ),
    Fact(
        ("phone", "number"),
        lambda s: "".join(str(s.number(0, 9)) for _ in range(s.number(4, 9))),
        _said(
            "has the phone number {v}|answers the phone at {v}",
            "can be called at {v}",
            "has the number {v}|can be phoned at {v}|takes calls at {v}|left the phone number {v}",
        ),
    ),
    Fact(
        ("company", "employer"),
        lambda s: invented(s).capitalize(),
        _said(
            "works for {v}|is employed by {v}|has joined {v}",
            "is at the company {v}",
            "has a job at {v}|is with {v}|was hired by {v}|left school for {v}|represents {v}",
        ),
    ),
    Fact(
        ("hobby",),
        lambda s: s.pick((s.pick(NOUNS), invented(s) + "ing")),
        _said(
            "enjoys {v}|has the hobby {v}|loves {v}",
            "likes {v} very much",
            "is fond of {v}|spends weekends with {v}|is mad about {v}|has discovered {v}",
        ),
    ),
)
THING = (
    Fact(
        ("price", "cost"),
        lambda s: s.pick((s.number(1, 999), _cents(s))),
        _said(
            "costs {v} euros|costs {v}|is sold for {v} dollars|has a price of {v}",
            "is priced at {v} euros",
            "can be had for {v} euros|is on sale for {v}|was bought for {v}|goes for {v} euros|has cost {v} dollars|now costs {v}",
        ),
    ),
    Fact(
        ("color", "colour"),
        lambda s: s.pick(COLOURS),
        _said(
            "is {v}|has the colour {v}|comes in {v}",
            "is painted {v}",
            "looks {v}|shines in {v}|was dyed {v}|appears in {v}|has been coloured {v}",
        ),
    ),
    Fact(
        ("quantity", "count", "stock"),
        lambda s: s.number(2, 500),
        _said(
            "is available {v} times|has {v} pieces in stock|comes in packs of {v}",
            "has a stock of {v}",
            "is there {v} times|we have {v} of it|comes {v} at a time|has {v} units left",
        ),
    ),
    Fact(
        ("weight",),
        lambda s: s.number(1, 90),
        _said(
            "weighs {v} kilos|has a weight of {v} kg",
            "is {v} kg heavy",
            "weighs about {v} kilos|puts {v} kg on the scales|weighed {v} kilos|has a mass of {v} kg",
        ),
    ),
    Fact(
        ("brand", "maker"),
        lambda s: invented(s).capitalize(),
        _said(
            "is made by {v}|comes from the maker {v}|carries the brand {v}",
            "is a product of {v}",
            "was made by {v}|is sold by {v}|bears the name {v}|was designed by {v}",
        ),
    ),
    Fact(
        ("material",),
        lambda s: s.pick(("wood", "steel", "glass", "paper", "wool", "stone", "copper")),
        _said(
            "is made of {v}|consists of {v}",
            "is built from {v}",
            "was made from {v}|is all {v}|is mostly {v}|consists mainly of {v}",
        ),
    ),
    Fact(
        ("available", "in_stock"),
        lambda s: s.chance(0.5),
        _said(
            "{is_available}|and it {is_available}",
            "right now {is_available}",
            "today {is_available}|at the moment {is_available}|still {is_available}",
        ),
    ),
    Fact(
        ("size",),
        lambda s: s.pick(("small", "medium", "large")),
        _said(
            "has the size {v}|is of size {v}",
            "comes in size {v}",
            "is {v} in size|measures as {v}|is only sold in size {v}|has a {v} size",
        ),
    ),
)
EVENT = (
    Fact(
        ("day",),
        lambda s: s.pick(DAYS),
        _said(
            "is on {v}|takes place on {v}|happens on {v}",
            "is planned for {v}",
            "will be on {v}|comes up on {v}|falls on {v}|has been moved to {v}|is expected on {v}",
        ),
    ),
    Fact(
        ("time",),
        lambda s: f"{s.number(0, 23)}:{s.pick(('00', '15', '30', '45'))}",
        _said(
            "starts at {v}|begins at {v}",
            "opens at {v}",
            "gets going at {v}|will start at {v}|is from {v} on|kicks off at {v}",
        ),
    ),
    Fact(
        ("city", "place", "location"),
        city,
        _said(
            "is held in {v}|takes place in {v}|is in {v}",
            "will be in {v}",
            "was in {v}|goes to {v}|will take place in {v}|moves to {v}|meets in {v}|is happening in {v}",
        ),
    ),
    Fact(
        ("date",),
        lambda s: f"{s.number(1, 28)} {s.pick(MONTHS)}",
        _said(
            "is on {v}|was moved to {v}",
            "is set for {v}",
            "will be on {v}|falls on {v}|happens on {v}|is fixed for {v}",
        ),
    ),
    Fact(
        ("guests", "people", "seats"),
        lambda s: s.number(2, 400),
        _said(
            "has {v} guests|expects {v} people|offers {v} seats",
            "is open for {v} people",
            "will have {v} guests|has room for {v}|welcomes {v} people|counts {v} guests|drew {v} people",
        ),
    ),
    Fact(
        ("host", "organizer", "speaker"),
        full_name,
        _said(
            "is hosted by {v}|is organised by {v}|is led by {v}",
            "is run by {v}",
            "will be opened by {v}|was planned by {v}|is in the hands of {v}|is presented by {v}",
        ),
    ),
    Fact(
        ("year",),
        lambda s: s.number(1800, 2040),
        _said(
            "started in {v}|first took place in {v}|dates from {v}",
            "goes back to {v}",
            "was first held in {v}|has existed since {v}|was founded in {v}|began in {v}",
        ),
    ),
)
KINDS: tuple[tuple[tuple[str, ...], Callable[[Source], str], str, tuple[Fact, ...]], ...] = (
    (("name", "name", "name", "person"), full_name, "{x}", PERSON),
    (("product", "item", "name"), lambda s: s.pick((s.pick(NOUNS), invented(s))), "The {x}", THING),
    (("event", "title", "name"), lambda s: s.pick((s.pick(NOUNS), invented(s))), "The {x}", EVENT),
)
ASK = Wordings(
    train=(
        "Give the {fields} as JSON.|Extract the {fields} as JSON.|Return JSON with {fields}.|Give me {fields} as JSON.|"
        "What are the {fields}? Answer as JSON.|Extract {fields}.|Give the {fields}.|JSON with the keys {fields}, please.|"
        "Write the {fields} as JSON.|Put the {fields} into JSON.|Return the {fields} in JSON format.|"
        "Fill in: {fields}.|I need {fields} as JSON.|Please extract the {fields}.|Find the {fields} and answer in JSON.|"
        "Turn this into JSON with {fields}.|Extract as JSON.|Give it as JSON.|Make JSON from this.|Extract the data."
    ).split("|"),
    held_out=(
        "Please give the {fields} as JSON.|Answer with JSON holding the {fields}.|Extract the {fields} in JSON.|"
        "Reply with the {fields} as a JSON object."
    ).split("|"),
    more="Give back JSON with the {fields}.|JSON: {fields}|I want the {fields} as a JSON object.|Write down the {fields} in JSON.|Collect the {fields} as JSON.|Produce JSON holding {fields}.|Answer in JSON: {fields}.|Respond with JSON, keys {fields}.|Read out the {fields} and write JSON.|Make a JSON object of the {fields}.|Pull out {fields} in JSON.|Fill the JSON: {fields}.|Give only the {fields} in JSON.".split(
        "|"
    ),
)
ASK_LIST = Wordings(
    train=(
        "Give the {plural} as a JSON list.|Extract the {plural} as JSON.|List the {plural} as JSON.|"
        "Return the {plural} in JSON.|JSON with all {plural}, please."
    ).split("|"),
    held_out="Please list the {plural} in JSON.|Put all the {plural} into JSON.".split("|"),
    more="Give all {plural} in JSON.|Collect the {plural} in JSON.|JSON list of the {plural}, please.|Find the {plural} and write JSON.|Which {plural} are there? JSON.".split(
        "|"
    ),
)
MOODS = {
    "positive": "I love it|It is wonderful|Great work|I am very happy with it|This is excellent|It works perfectly".split(
        "|"
    ),
    "negative": "I hate it|It is terrible|It broke at once|I am very unhappy with it|This is awful|A waste of money".split(
        "|"
    ),
    "neutral": "It is okay|It arrived on Monday|It is an ordinary one|It does what it says|Nothing special".split(
        "|"
    ),
}
ASK_MOOD = Wordings(
    train=(
        "Give the sentiment as JSON.|Classify the sentiment as JSON.|Is this positive, negative or neutral? Answer as JSON.|"
        "What is the sentiment? JSON, please."
    ).split("|"),
    held_out="Return the sentiment in JSON.|Tell me the sentiment as JSON.".split("|"),
    more="Sentiment as JSON|Is the mood good or bad? Answer in JSON.|Label the sentiment in JSON.|Rate the sentiment as JSON.".split(
        "|"
    ),
)
ASK_RESULT = Wordings(
    train="{task} Give the result as JSON.|{task} Answer as JSON with the key result.|{task} JSON with result, please.".split(
        "|"
    ),
    held_out="{task} Return the result as JSON.".split("|"),
    more="{task} Write JSON with the result.|{task} Result in JSON.|{task} Give back JSON.".split("|"),
)


def _type_of(value: Any) -> dict[str, Any]:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))
    return {"type": next(name for kind, name in kinds if isinstance(value, kind))}


def schema_of(values: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema that a caller would send to get *values*."""
    properties = {
        key: {"type": "array", "items": {"type": "string"}} if isinstance(value, list) else _type_of(value)
        for key, value in values.items()
    }
    return {"type": "object", "properties": properties, "required": list(values)}


def _sentence(subject: str, phrases: list[str], source: Source) -> str:
    if len(phrases) == 1:
        return f"{subject} {phrases[0]}."
    if source.chance(0.25):
        rest = " ".join(
            f"{source.pick(('It', subject)) if subject[:4] == 'The ' else subject} {p}." for p in phrases[1:]
        )
        return f"{subject} {phrases[0]}. {rest}"
    return f"{subject} {', '.join(phrases[:-1])} and {phrases[-1]}."


def _listed(keys: list[str], source: Source) -> str:
    keys = [key.replace("_", " ") if source.chance(0.5) else key for key in keys]
    if len(keys) == 1:
        return keys[0]
    last = source.pick((" and ", " and ", ", "))
    return ", ".join(keys[:-1]) + last + keys[-1]


def _gather(source: Source) -> tuple[dict[str, Any], str]:
    """Values by key, and a text that states them."""
    title_keys, title, shape, facts = source.pick(KINDS)
    what, values = title(source), {}
    phrases = []
    values[source.pick(title_keys)] = what
    for fact in source.some(facts, source.likely(((2, 1), (5, 2), (3, 3), (1, 4)))):
        key, value = source.pick(fact.keys), fact.value(source)
        if key in values:
            continue
        state = "is available" if value is True else "is sold out"
        phrases.append(source.phrase(fact.phrases).format(v=value, is_available=state))
        values[key] = value
    return values, _sentence(shape.format(x=what), phrases, source)


def _shown(schema: dict[str, Any], source: Source) -> str:
    """The schema as a caller may paste it into the prompt."""
    if source.chance(0.5):
        return f"Schema: {json.dumps(schema)}"
    return "Keys: " + ", ".join(f"{k} ({v['type']})" for k, v in schema["properties"].items())


def _arranged(text: str, ask: str, source: Source) -> str:
    gap = source.pick((" ", " ", " ", "\n", "\n\n"))
    if source.chance(0.65):
        return text + gap + ask
    return ask.rstrip(".").removesuffix(", please") + ":" + gap + text


def fields(source: Source) -> Conversation:
    """An object of two to five fields."""
    values, text = _gather(source)
    wanted = source.some(list(values), max(1, len(values) - source.chance(0.25)))
    keys = source.shuffled(wanted) if source.chance(0.4) else wanted
    values = {key: values[key] for key in keys}
    ask = source.phrase(ASK).format(fields=_listed(wanted, source))
    schema = schema_of(values)
    messages: list[Message] = [user(_arranged(text, ask, source))]
    if not source.held_out and source.chance(0.15):
        messages[0]["content"] += "\n" + _shown(schema, source)
    elif not source.held_out and source.chance(0.08):
        messages.insert(0, {"role": "system", "content": "Answer in JSON. " + _shown(schema, source)})
    return _answered(messages, values)


def _answered(messages: list[Message], values: dict[str, Any]) -> Conversation:
    answer = assistant(json.dumps(values, ensure_ascii=False))
    return Conversation("json", [*messages, answer], schema=schema_of(values))


def listing(source: Source) -> Conversation:
    """An array of strings."""
    plural = source.pick(("names", "cities", "words", "items", "colors", "fruits", "files", "tags"))
    make: Callable[[Source], str] = {
        "names": name,
        "cities": city,
        "files": path,
        "colors": lambda s: s.pick(COLOURS),
    }.get(plural, word)
    values = [make(source) for _ in range(source.number(2, 5))]
    text = f"{', '.join(values[:-1])} and {values[-1]}"
    lead = source.pick(("We have ", "There are ", "On the table: ", "", "", "I know "))
    ask = source.phrase(ASK_LIST).format(plural=plural)
    return _answered([user(_arranged(lead + text + source.pick((".", ".", "")), ask, source))], {plural: values})


def mood(source: Source) -> Conversation:
    """One of three words."""
    label = source.pick(list(MOODS))
    text = f"{source.pick(MOODS[label])}{source.pick(('.', '!'))}"
    if source.chance(0.5):
        text = f"The {source.pick(ADJECTIVES)} {source.pick(NOUNS)}? {text}"
    found = _answered([user(_arranged(text, source.phrase(ASK_MOOD), source))], {"sentiment": label})
    assert found.schema
    found.schema["properties"]["sentiment"]["enum"] = list(MOODS)
    return found


def result(source: Source) -> Conversation:
    """A small calculation as JSON."""
    a, b = source.number(0, 20), source.number(0, 20)
    wordings, value = source.pick(((SUM, a + b), (PRODUCT, (a % 11) * (b % 11))))
    if wordings is PRODUCT:
        a, b = a % 11, b % 11
    task = source.phrase(wordings).format(a=a, b=b)
    task = task if task[-1] in ".?" else task + "."
    return _answered([user(source.phrase(ASK_RESULT).format(task=task))], {"result": value})


def extract(source: Source) -> Conversation:
    """Any of the above."""
    return source.likely(((8, fields), (1.5, listing), (0.7, mood), (0.8, result)))(source)
