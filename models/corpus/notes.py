"""Notes as people keep them, for the request to summarise: lists, reminders, a few sentences of a report."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.

from __future__ import annotations

from models.corpus.smalltalk import SUMMARISE
from models.corpus.source import Conversation, Source, Wordings, assistant, user
from models.corpus.words import city, name

LINES = Wordings(
    train=[
        "Buy bread and cheese on the way home",
        "Call {name} about the broken heater",
        "Pay the rent before the fifth",
        "Water the plants twice a week",
        "The meeting with {name} was moved to Thursday",
        "We agreed to ship the new version in March",
        "The budget is nearly used up",
        "Ask {name} for the keys",
        "Send the invoice to the office in {city}",
        "Bring the bicycle to the repair shop",
        "Book a room in {city} for two nights",
        "The server was down for an hour this morning",
        "The backup did not run last night",
        "Nobody knows why the test fails",
        "{name} will write the first draft",
        "The customer wants a smaller box",
        "Sales were better than last year",
        "Three people have left the team",
        "The train to {city} was late again",
        "The weather was fine all week",
        "Rain is expected in {city} tomorrow",
        "The garden needs work",
        "Remember the birthday of {name}",
        "Pick up the children at four",
        "Clean the kitchen before the guests come",
        "Return the books to the library",
        "The doctor has time on Monday at nine",
        "Take the blue pills after breakfast",
        "Our flight leaves at seven in the evening",
        "The hotel in {city} was quiet and clean",
        "The food was good but expensive",
        "The museum is closed on Tuesdays",
        "We walked along the river",
        "The new printer does not work yet",
        "Please update the documentation",
        "The password was changed yesterday",
        "Do not restart the machine",
        "Version two is faster and uses less memory",
        "Several users asked for a dark theme",
        "The release is planned for the end of the month",
        "Tests pass on all three systems",
        "One open problem is left",
        "{name} found the mistake in the parser",
        "The fix is small and safe",
        "I slept badly and woke up early",
        "Today I met {name} in the park",
        "We talked about old times",
        "It was a long but happy day",
        "The company has opened an office in {city}",
        "Prices will rise in autumn",
        "The contract ends in two years",
        "The bank has sent a letter",
        "First heat the oil in a pan",
        "Then add the onions and stir",
        "Bake it for thirty minutes",
        "Serve it warm with salad",
        "The lecture was about rivers and how they shape the land",
        "Bees need flowers from spring to autumn",
        "The moon moves around the earth",
        "Many people learn best in the morning",
        "Sleep helps us to remember",
        "A good plan is short and clear",
        "Small steps lead to big changes",
        "Project status: on time",
        "Next step: choose a name",
        "Open question: who pays?",
        "Decision: we start on Monday",
        "Idea: use two models at once",
        "Order new chairs for the meeting room",
        "Check the numbers in the second table",
        "{name} is on holiday until Friday",
        "The library buys forty new books every month",
        "The old bridge will be closed in June",
        "The school looks for a music teacher",
        "Our cat has learnt to open doors",
        "The neighbours have a new dog",
        "The tomatoes are ripe",
        "The roof lets in water when it rains",
    ],
    held_out=[
        "Buy milk on Friday",
        "Phone the dentist",
        "Pay the electricity bill",
        "{name} likes the second design better",
        "The workshop in {city} starts at ten",
        "We need more memory for the database",
        "The lights in the cellar are broken",
        "Visitors from {city} arrive on Sunday",
        "The first chapter explains the method",
        "Learn ten new words every day",
        "The harvest was small this year",
        "Ask about the guarantee",
    ],
)


def _bare(line: str) -> str:
    return line.rstrip(".")


def _shaped(lines: list[str], source: Source) -> str:
    """As running text, as lines, or as a list with marks."""
    kind = source.number(0, 4)
    if kind < 2:
        return " ".join(line if line[-1] == "?" else line + "." for line in lines)
    if kind == 2:
        return "\n".join(lines)
    mark = source.pick(("- ", "* ", "")) if kind == 3 else ""
    numbered = kind == 4
    return "\n".join((f"{i}. " if numbered else mark) + line for i, line in enumerate(lines, 1))


def notes(source: Source) -> Conversation:
    """Notes to summarise: the model gives the first, and says so."""
    known = LINES.held_out if source.held_out else LINES.train
    lines = [source.pick(known).format(name=name(source), city=city(source)) for _ in range(source.number(2, 8))]
    text, ask = _shaped(lines, source), source.phrase(SUMMARISE)
    question = f"{ask}{source.pick((':', '.', '', ''))}\n\n{text}"
    if source.chance(0.3):
        question = f"{text}\n\n{ask}"
    first = lines[0] if lines[0][-1] == "?" else lines[0] + "."
    return Conversation(
        "summary",
        [user(question), assistant(f"In short: {first} (I am small: I kept the first sentence.)")],
        keywords=(_bare(first),),
    )
