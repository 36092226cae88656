"""Small sums, differences and products, comparisons and counting."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, RUF001, SIM905

from __future__ import annotations

from models.corpus.source import Conversation, Source, Wordings, assistant, user

SUM = Wordings(
    train=(
        "{a} + {b}|{a}+{b}|What is {a} + {b}?|What is {a} plus {b}?|Calculate {a} + {b}.|Add {a} and {b}.|"
        "How much is {a} plus {b}?|{a} plus {b}|{a} + {b} = ?|{a} + {b} =|What does {a} + {b} make?|"
        "What is the sum of {a} and {b}?|Compute {a} + {b}|How much is {a} + {b}?|Please add {a} and {b}.|"
        "I have {a} apples and get {b} more. How many do I have?|what's {a}+{b}?|Tell me {a} plus {b}.|"
        "Can you calculate {a} + {b}?"
    ).split("|"),
    held_out="Please calculate {a} + {b}.|What do {a} and {b} add up to?|What's {a} plus {b}?|Work out {a} + {b}.".split(
        "|"
    ),
    more="Solve {a} + {b}.|What is the result of {a} + {b}?|Add up {a} and {b}.|Give me {a} + {b}.|{a} and {b} together?|How much do {a} and {b} make?|Find {a} + {b}|Please tell me what {a} + {b} is.".split(
        "|"
    ),
)
DIFFERENCE = Wordings(
    train=(
        "{a} - {b}|{a}-{b}|What is {a} - {b}?|What is {a} minus {b}?|Calculate {a} - {b}.|Subtract {b} from {a}.|"
        "How much is {a} minus {b}?|{a} minus {b}|{a} - {b} = ?|{a} - {b} =|Compute {a} - {b}|"
        "How much is {a} - {b}?|I have {a} coins and spend {b}. How many are left?|what's {a}-{b}?|"
        "What is the difference between {a} and {b}?|Tell me {a} minus {b}.|Can you calculate {a} - {b}?"
    ).split("|"),
    held_out="Please calculate {a} - {b}.|What is left of {a} minus {b}?|What's {a} minus {b}?|Work out {a} - {b}.".split(
        "|"
    ),
    more="Solve {a} - {b}.|What is the result of {a} - {b}?|Take {b} from {a}.|Give me {a} - {b}.|What remains of {a} when {b} go?|{a} less {b}?|Find {a} - {b}|Please tell me what {a} - {b} is.".split(
        "|"
    ),
)
PRODUCT = Wordings(
    train=(
        "{a} * {b}|{a} x {b}|{a}*{b}|What is {a} * {b}?|What is {a} times {b}?|Calculate {a} * {b}.|"
        "Multiply {a} by {b}.|How much is {a} times {b}?|{a} times {b}|{a} * {b} = ?|{a} × {b}|Compute {a} * {b}|"
        "What is the product of {a} and {b}?|Multiply {a} and {b}.|what's {a}*{b}?|Tell me {a} times {b}.|"
        "What is {a} x {b}?|Can you calculate {a} * {b}?"
    ).split("|"),
    held_out="Please calculate {a} * {b}.|How much is {a} multiplied by {b}?|What's {a} times {b}?|Work out {a} x {b}.".split(
        "|"
    ),
    more="Solve {a} * {b}.|What is the result of {a} x {b}?|Give me {a} * {b}.|{a} multiplied by {b}|What is {a} multiplied by {b}?|Find {a} x {b}|Please tell me what {a} * {b} is.".split(
        "|"
    ),
)
BIGGER = Wordings(
    train=(
        "Which is bigger, {a} or {b}?|Which number is larger: {a} or {b}?|What is greater, {a} or {b}?|"
        "Is {a} or {b} the bigger number?|Which is more, {a} or {b}?"
    ).split("|"),
    held_out="Which one is larger, {a} or {b}?|Tell me which is bigger: {a} or {b}.".split("|"),
)
COUNT = Wordings(
    train="Count from {a} to {b}.|Count from {a} up to {b}|List the numbers from {a} to {b}.|Please count {a} to {b}.".split(
        "|"
    ),
    held_out="Can you count from {a} to {b}?|Count up from {a} to {b}.".split("|"),
)


def _two(source: Source, top: int) -> tuple[int, int]:
    return source.number(0, top), source.number(0, top)


def total(source: Source) -> Conversation:
    """A sum, mostly of small numbers."""
    a, b = _two(source, source.likely(((3, 10), (3, 20), (5, 99))))
    return _task(source, SUM, a, b, f"{a} + {b} = {a + b}")


def difference(source: Source) -> Conversation:
    """A difference that is not negative."""
    b, a = sorted(_two(source, source.likely(((3, 10), (3, 20), (5, 99)))))
    return _task(source, DIFFERENCE, a, b, f"{a} - {b} = {a - b}")


def product(source: Source) -> Conversation:
    """A product from the table of ten."""
    a, b = _two(source, 10)
    return _task(source, PRODUCT, a, b, f"{a} * {b} = {a * b}")


def bigger(source: Source) -> Conversation:
    """Which of two different numbers is bigger."""
    a, b = source.some(range(100), 2)
    return _task(source, BIGGER, a, b, f"{max(a, b)} is bigger.")


def count(source: Source) -> Conversation:
    """Count upwards, ten steps at most."""
    a = source.number(0, 20)
    b = a + source.number(2, 10)
    return _task(source, COUNT, a, b, ", ".join(map(str, range(a, b + 1))))


def _task(source: Source, wordings: Wordings, a: int, b: int, answer: str) -> Conversation:
    return Conversation("arithmetic", [user(source.phrase(wordings).format(a=a, b=b)), assistant(answer)])


def arithmetic(source: Source) -> Conversation:
    """Any of the above."""
    return source.likely(((6, total), (5, difference), (4, product), (1, bigger), (1, count)))(source)
