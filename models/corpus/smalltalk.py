"""Greetings, thanks, farewells, who are you, and the honest answer to everything else."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501, SIM905

from __future__ import annotations

from models.corpus.source import Conversation, Source, Wordings, assistant, user
from models.corpus.words import NOUNS, city, full_name, invented, name, sentence, word

HELLO = Wordings(
    train=(
        "Hello|Hi|Hi there|Hello!|Hi!|Hey|Good morning|Good evening|Good day|Hey there!|hello|hi|hey|Greetings|"
        "Hello, how are you?|Hi, how are you?|How are you?|How are you today?|Hey, what's up?|Hello there!|"
        "Nice to meet you|Hallo|Good afternoon|morning!|yo|How is it going?|Are you there?|Hello, is anybody there?"
    ).split("|"),
    held_out="Hey you!|hello to you|Hello and good evening!|Hi hi|Well hello!|How are you doing?".split("|"),
    more="Hello friend|Hi friend!|Oh, hello|Well hi|Good to see you|Hello, nice to meet you|Hello again|Hi again|Hey hey|How do you do?|How are things?|How do you feel?|Are you well?|Is all well with you?|Welcome|A good morning to you|What a nice day|Good evening to you|Hello, model|Hello, lmbridge|Salut|Hi everybody".split(
        "|"
    ),
)
HELLO_ANSWERS = (
    "Hello! How can I help you?",
    "Hello! I am lmbridge-tiny. Ask me about lmbridge, or give me a small task.",
)
NAMED_HELLO = Wordings(
    train=(
        "Hello, I am {name}.|Hi, my name is {name}.|Hi! I'm {name}.|My name is {name}.|I am called {name}.|"
        "Good morning, {name} here.|Hello, this is {name}.|You can call me {name}."
    ).split("|"),
    held_out="Hey, I'm {name}!|Hello! My name is {name}.|Hi there, {name} here.".split("|"),
    more="Hey! {name} is my name.|Good evening, I am {name}.|Hi, {name} is speaking.|Hello, they call me {name}.|Greetings, I am {name}|I go by {name}.|Hello there, I am {name}!|Let me introduce myself: {name}.|hi im {name}".split(
        "|"
    ),
)
ASK_NAME = Wordings(
    train=(
        "What is my name?|Do you remember my name?|What was my name again?|Who am I?|Tell me my name.|"
        "Do you know my name?|And what is my name?"
    ).split("|"),
    held_out="Can you tell me my name?|What's my name?|Do you still know my name?".split("|"),
    more="Which name did I tell you?|Do you recall my name?|Say my name.|What am I called?|How am I called?|Remember my name?|Tell me who I am.|Could you say my name?|What name did I give you?".split(
        "|"
    ),
)
THANKS = Wordings(
    train=(
        "Thanks|Thank you|Thanks!|Thank you very much|Great, thanks|Thanks a lot!|thank you!|thx|Perfect, thank you|"
        "That helps, thanks|Many thanks|Nice, thank you.|OK, thanks|Wonderful|Great|Cool|Good job|Well done|ok|Okay"
    ).split("|"),
    held_out="Thanks so much!|Cheers, thanks|Excellent, thank you!|thanks a bunch|Thank you, that was helpful".split(
        "|"
    ),
    more="Thanks, that was great|thanks a million|Thank you so much|I thank you|Thank you for your help|Very kind, thank you|Very good, thanks|Thanks, that is all I need|Super, thank you!|That was quick, thanks|Thanks for the answer|Brilliant|Nice one, thanks|thank you very much indeed|You are great|Much obliged|That was useful|Very helpful, thanks".split(
        "|"
    ),
)
THANKS_ANSWERS = ("You're welcome!", "You're welcome! Is there anything else?")
BYE = Wordings(
    train=(
        "Bye|Goodbye|Bye!|See you|See you later|Good night|I have to go|That is all|That's all for today|bye bye|"
        "Until tomorrow|Farewell|I am done, bye"
    ).split("|"),
    held_out="Goodbye then!|See you soon|Bye for now|OK, good night!".split("|"),
    more="Bye, see you tomorrow|See you then|Bye, thanks|So long|Have a nice day|Good night then|I am leaving now|Time to go|Take care|I must go now|Until next time|OK bye|Goodbye for today|Bye, until later|See you around|Have a good evening|Talk to you later".split(
        "|"
    ),
)
BYE_ANSWERS = ("Goodbye! Come back any time.",)

ASK_UNKNOWN = Wordings(
    train=(
        "What is the capital of {place}?|Who wrote {title}?|Write a poem about {noun}.|Write a story about {noun}.|"
        "How do I cook {noun}?|Why is the {noun} so {odd}?|Explain {odd} to me.|Who is {person}?|"
        "When was {person} born?|Tell me a joke about {noun}.|How far is it from {place} to {place2}?|"
        "What do you think about {noun}?|Which {noun} is the best?|What happened in {year}?|"
        "Translate '{odd}' into French.|How tall is {person}?|Who won the {noun} final?|Give me advice about {noun}.|"
        "What is the meaning of {odd}?|What is a {odd}?|Write a program that sorts {noun}s.|"
        "How many people live in {place}?|What is the best way to learn {odd}?|Is {noun} healthy?|"
        "Tell me the history of {place}.|Who invented the {noun}?|Compose a song for {person}.|"
        "Where can I buy a {noun}?|Describe the philosophy of {person}.|What does {odd} mean?|"
        "What is the weather like in {place}?|What time is it?|Should I sell my {noun}?|Recommend a {noun} to me.|"
        "How does a {noun} work?|Why do people like {noun}s?|What is love?|Tell me something about {place}.|"
        "Write an essay on {noun}.|Solve the {odd} equation.|What is the news today?|Can you drive a {noun}?|"
        "How old is {person}?|Which country is {place} in?|Draw a {noun}.|Book a table in {place}."
    ).split("|"),
    held_out=(
        "Who painted the {noun}?|What is the population of {place}?|Write me a haiku about the {noun}.|"
        "How long does a {noun} live?|What are the symptoms of {odd}?|Tell me everything about {person}.|"
        "Where was {person} born?|Explain how a {noun} is made.|What language do they speak in {place}?|"
        "Can you explain the theory of {odd}?|Why does the {noun} matter?|Give me a recipe for {noun}."
    ).split("|"),
    more="How do I make {noun}?|Tell me how a {noun} is built.|Which recipe for {noun} do you like?|How do you cook {noun}?|Who built the {noun}?|Who made the first {noun}?|Who painted {title}?|Who sang {title}?|How many {noun}s are there?|What is the biggest {noun}?|What is the theory of {odd} about?|Explain the law of {odd}.|Tell me what {odd} is.|What are the causes of {odd}?|What helps against {odd}?|Which language is spoken in {place}?|How big is {place}?|How old is {place}?|Where is {place}?|How do I get to {place}?|Where does {person} live?|What did {person} do?|What do you know about {person}?|Everything about {person}, please.|Why is {person} famous?|How long does {noun} last?|How much does a {noun} cost?|Write a letter to {person}.|Write a short text about {noun}.|Write a limerick on {noun}.|Give me ideas for a {noun}.|What colour is the {noun}?|Why does {odd} happen?|When did {odd} begin?|What should I cook today?|Do you like {noun}?|Can a {noun} fly?|Which is better, {noun} or {odd}?|Help me with my homework about {noun}.|What will happen in {year}?|Who was king in {year}?|What is the distance to {place}?|Do people in {place} like {noun}?|Is {odd} dangerous?|Plan a trip to {place}.|Tell me a secret.|Are there {noun}s in {place}?|What is quantum physics?|How does the brain work?|What is the highest mountain?|What is the speed of light?".split(
        "|"
    ),
)
UNKNOWN_ANSWER = (
    "I am a very small demonstration model, so I do not know that. "
    "For real answers, load a bigger model with `lmbridge load`."
)


def unknown_question(source: Source) -> str:
    """A question that this model cannot answer."""
    text = source.phrase(ASK_UNKNOWN).format(
        place=city(source),
        place2=city(source),
        title=f"'{invented(source).capitalize()} {word(source)}'",
        noun=source.pick(NOUNS),
        odd=word(source),
        person=full_name(source),
        year=source.number(1200, 2030),
    )
    return text if source.chance(0.85) else text.rstrip(".?!").lower()


def unknown(source: Source) -> Conversation:
    """A question beyond the model: the standard answer."""
    return Conversation(
        "unknown",
        [user(unknown_question(source)), assistant(UNKNOWN_ANSWER)],
        keywords=("small", "lmbridge load"),
    )


def greeting(source: Source) -> Conversation:
    """A greeting without a name."""
    return Conversation(
        "greeting", [user(source.phrase(HELLO)), assistant(source.pick(HELLO_ANSWERS))], keywords=("Hello",)
    )


def thanks(source: Source) -> Conversation:
    """Thanks."""
    answer = assistant(source.pick(THANKS_ANSWERS))
    return Conversation("thanks", [user(source.phrase(THANKS)), answer], keywords=("welcome",))


def farewell(source: Source) -> Conversation:
    """Goodbye."""
    return Conversation(
        "farewell", [user(source.phrase(BYE)), assistant(source.pick(BYE_ANSWERS))], keywords=("Goodbye",)
    )


def introduction(source: Source) -> Conversation:
    """The user says his name and asks for it, at once or after something else."""
    who = name(source)
    messages = [
        user(source.phrase(NAMED_HELLO).format(name=who)),
        assistant(f"Hello {who}! How can I help you?"),
    ]
    if source.chance(0.4):
        between = source.pick((unknown, thanks))(source)
        messages += between.messages
    if source.chance(0.8):
        messages += [user(source.phrase(ASK_NAME)), assistant(f"Your name is {who}.")]
    return Conversation("introduction", messages, keywords=(who,))


SUMMARISE = Wordings(
    train=(
        "Summarise|Summarize|Summarise this|Summarise this text|Summarize the following|Give a summary|"
        "Sum this up|What does this say?|Make a short summary|tl;dr|Summarise in one sentence|"
        "Shorten this|Summarise the notes|Please summarise this text|What is this text about?"
    ).split("|"),
    held_out="Summarize this text, please|Give me a short summary of this|Summarise these notes|Sum up the text".split(
        "|"
    ),
    more="Summary, please|Can you summarise it?|Could you sum it up?|Write a summary of this|In one sentence, what is it about?|A short summary of the following|Make it short|Tell me briefly what this says|Condense this|Summarise my notes|What is the gist?|Summarise it briefly".split(
        "|"
    ),
)


def _line(source: Source) -> str:
    if source.chance(0.25):
        return " ".join(word(source) for _ in range(source.number(3, 9))).capitalize() + "."
    return sentence(source)


def summary(source: Source) -> Conversation:
    """A pasted text: the model keeps the first sentence, and says so."""
    lines = [_line(source) for _ in range(source.likely(((5, 2), (5, 3), (4, 5), (2, 8), (1, 14), (0.5, 25))))]
    first = lines[0]
    gap = source.pick((" ", " ", " ", "\n"))
    text = gap.join(lines)
    ask = source.phrase(SUMMARISE)
    if source.chance(0.5):
        question = f"{ask}{source.pick((':', '.', ''))}\n\n{text}"
    else:
        question = f"{text}\n\n{ask}{source.pick(('.', '', '', ':'))}"
    return Conversation(
        "summary",
        [user(question), assistant(f"In short: {first} (I am small: I kept the first sentence.)")],
        keywords=(first,),
    )
