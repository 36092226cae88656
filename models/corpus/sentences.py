"""Plain sentences in several forms, for the embedding model: who did what to what, and when."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

from dataclasses import dataclass

from models.corpus.source import Source, Wordings
from models.corpus.words import ADJECTIVES, NOUNS, TIMES, VERBS, invented, name

# Words for (nearly) the same, by the word of the corpus that they may stand for.
ALIKE = {
    row.split(" ")[0]: row.split(" ")
    for row in (
        "old ancient aged|new fresh recent|small little tiny|large big huge|quiet silent calm|loud noisy|bright shining|dark dim|"
        "cold chilly icy|happy glad joyful|strange odd weird|quick fast rapid|famous well-known|clever smart|tired weary|"
        "broken damaged|cheap inexpensive|brave bold|careful cautious|dusty dirty|"
        "opened unlocked|closed shut|found discovered|lost misplaced|carried took|followed chased|watched observed|repaired mended fixed|"
        "cleaned washed|sold traded|bought purchased|built constructed|covered wrapped|lifted raised|noticed spotted|finished completed|"
        "started began|wanted wished|liked loved|described explained|visited saw|counted numbered|painted coloured|dropped released|"
        "forest wood|kitchen galley|doctor physician|teacher tutor|farmer grower|sailor seaman|cat kitten|dog puppy|horse pony|"
        "house home|street road|boat ship|bicycle bike|picture image|story tale|storm tempest|school academy|shop store|"
        "letter message|basket hamper|neighbour resident|visitor guest|garden yard|mountain hill|station terminal|river stream|"
        "coffee espresso|cake pie|film movie|contract agreement|meeting conference|invoice bill|report account|journey trip|"
        "problem trouble|answer reply|question query|lesson class|word term|market fair|tower spire|castle fortress"
    ).split("|")
}
FORMS = Wordings(
    train=(
        "{Who} {did} {what} {when}.|{When} {who} {did} {what}.|{What} was {did} by {who} {when}.|It was {who} who {did} {what}.|"
        "{when}: {what} {did} by {who}|{who}, {did}, {what}|Note: {who} {did} {what}|{What} {did}, {when}|Somebody {did} {what}: {who}.|"
        "Who {did} {what}?|What has {who} {did}?|{Who} has {did} {what} {when}.|They say {who} {did} {what}.|about {who} and {what}|"
        "{Who} {did} {what}."
    ).split("|"),
    held_out=(
        "I heard that {who} {did} {what} {when}.|{What}, {did} by {who}.|Is it true that {who} {did} {what}?|{When}, {what} was {did} by {who}."
    ).split("|"),
)


@dataclass(frozen=True)
class Happening:
    """Somebody did something to something at some time."""

    who: str
    did: str
    what: str
    when: str

    def told(self, source: Source) -> str:
        """In one of many forms, some words exchanged for words like them."""
        who, did, what = (_exchanged(part, source) for part in (self.who, self.did, self.what))
        parts = {"who": who, "did": did, "what": what, "when": self.when}
        parts |= {name.capitalize(): _up(part) for name, part in parts.items()}
        return source.phrase(FORMS).format(**parts)


def _up(text: str) -> str:
    return text[0].upper() + text[1:]


def _exchanged(text: str, source: Source) -> str:
    return " ".join(
        source.pick(ALIKE[word]) if word in ALIKE and source.chance(0.4) else word for word in text.split(" ")
    )


def _thing(source: Source) -> str:
    noun = invented(source) if source.chance(0.12) else source.pick(NOUNS)
    return f"the {source.pick(ADJECTIVES)} {noun}" if source.chance(0.4) else f"the {noun}"


def happening(source: Source) -> Happening:
    """Any happening."""
    who = name(source) if source.chance(0.25) else _thing(source)
    return Happening(who, source.pick(VERBS), _thing(source), source.pick(TIMES))


def two_alike(source: Source) -> tuple[str, str]:
    """The same happening, told twice."""
    what = happening(source)
    return what.told(source), what.told(source)


def another(source: Source, first: Happening) -> Happening:
    """A happening that shares one part with *first*, so that a single word does not give it away."""
    other = happening(source)
    shared = source.pick(("who", "did", "what", "when"))
    return Happening(**{**vars(other), shared: getattr(first, shared)})
