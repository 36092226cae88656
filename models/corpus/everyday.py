"""The everyday tools: their names, what they are for, what they take, and how people ask for them."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models.corpus.source import Source, Wordings
from models.corpus.words import COLOURS, DAYS, LANGUAGES, NOUNS, city, email, invented, name, path, sentence, word


@dataclass(frozen=True)
class Slot:
    """A parameter: the names it may have, its JSON type, and how to make a value."""

    names: tuple[str, ...]
    kind: str
    make: Callable[[Source], Any]


@dataclass(frozen=True)
class Task:
    """An everyday tool: its possible names, what it is for, its slots and the ways to ask for it."""

    names: tuple[str, ...]
    purposes: tuple[str, ...]
    slots: tuple[Slot, ...]
    asks: Wordings


def few_words(source: Source) -> str:
    """One to four words."""
    return " ".join(word(source) for _ in range(source.number(1, 4)))


def clock(source: Source) -> str:
    """A time of day."""
    return f"{source.number(0, 23)}:{source.pick(('00', '15', '30', '45'))}"


def _short(source: Source) -> str:
    return sentence(source).rstrip(".") if source.chance(0.5) else few_words(source)


CITY = Slot(("city", "city", "location", "place", "town"), "string", city)
PERSON = Slot(("to", "recipient", "name", "person", "contact"), "string", name)
TEXT = Slot(("text", "message", "content", "body"), "string", _short)
FILE = Slot(("path", "file", "filename", "file_path"), "string", path)
QUERY = Slot(("query", "q", "search", "text", "term"), "string", few_words)


def _asks(train: str, held_out: str, more: str) -> Wordings:
    return Wordings(train.split("|"), held_out.split("|"), more.split("|"))


def _number(names: str, low: int, high: int) -> Slot:
    return Slot(tuple(names.split()), "integer", lambda s: s.number(low, high))


TASKS = (
    Task(
        ("get_weather", "weather", "current_weather", "fetch_weather", "weather_lookup"),
        ("Weather in a city.", "Get the weather for a place.", "Current weather.", "Tells the weather."),
        (CITY,),
        _asks(
            "What is the weather in {0}?|How is the weather in {0}?|Weather in {0}?|Is it raining in {0}?|What's the weather like in {0}?|Tell me the weather in {0}.|Get the weather for {0}.|Is it cold in {0}?|Do I need an umbrella in {0}?|Check the weather in {0}.|weather {0}",
            "How's the weather in {0} today?|Could you check the weather for {0}?|What is the weather like in {0} right now?",
            "Is it warm in {0} today?|Is it sunny in {0} right now?|How warm is it in {0} now?|Will it rain in {0} today?|Does it snow in {0} at the moment?|What is it like outside in {0}?|I am in {0}, how is the weather?|The weather in {0}, please.|{0} weather|{0} weather now|How hot is it in {0} this morning?|I would like to know the weather in {0}.|Show me today's weather in {0}.|What does the sky look like in {0} tonight?|Is there wind in {0} at this moment?|In {0}, what is the weather?|Weather report for {0} now.|Temperature in {0} right now?|What is the temperature in {0} today?|Should I take a coat in {0} today?|I need the current weather of {0}.|Any rain over {0}?",
        ),
    ),
    Task(
        ("get_forecast", "forecast", "weather_forecast"),
        ("Weather forecast for some days.", "Forecast of the weather.", "Get the forecast."),
        (CITY, _number("days count", 2, 14)),
        _asks(
            "Forecast for {0} for {1} days.|Give me the {1} day forecast for {0}.|What is the forecast for {0} for the next {1} days?|How will the weather be in {0} over {1} days?",
            "I need a {1} day forecast for {0}.|Show the forecast for {0}, {1} days.",
            "{1} day forecast for {0}, please.|I want the forecast for {0} for the coming {1} days.|{0} forecast, {1} days|What will the weather be in {0} during the next {1} days?|Forecast the weather in {0} {1} days ahead.|For {1} days, what weather will {0} have?|Tell me the weather of the next {1} days in {0}.|Will it rain in {0} within {1} days?|Look {1} days ahead at the weather in {0}.|In the next {1} days, how is the weather in {0}?|I am staying {1} days in {0}, what weather comes?|Get {1} days of forecast for {0}.",
        ),
    ),
    Task(
        ("get_time", "current_time", "time_in", "clock", "world_clock"),
        ("Current time in a city.", "Tells the time.", "Get the local time."),
        (Slot(("city", "location", "place", "zone"), "string", city),),
        _asks(
            "What time is it in {0}?|Time in {0}?|Tell me the time in {0}.|What is the time in {0}?|How late is it in {0}?|Current time in {0}, please.|Get the time in {0}.",
            "What's the local time in {0}?|Do you know what time it is in {0}?",
            "What's the time in {0}?|What time is it right now in {0}?|What time do they have in {0}?|The time in {0}, please.|{0} time|Is it late in {0} now?|I want to know the time in {0}.|Show me the clock in {0}.|How late is it now in {0}?|In {0}, what time is it?|What hour is it in {0} at the moment?|Do they sleep in {0}? What time is it there?|I am calling {0}, what time is it there?|Check the time in {0} for me.|Local time of {0}?|Which time is it in {0}?",
        ),
    ),
    Task(
        ("add", "add_numbers", "sum", "plus", "calculator_add"),
        ("Add two numbers.", "Sum of two numbers.", "Adds a and b."),
        (
            Slot(("a", "x", "first", "left"), "integer", lambda s: s.number(0, 9999)),
            Slot(("b", "y", "second", "right"), "integer", lambda s: s.number(0, 9999)),
        ),
        _asks(
            "Add {0} and {1}.|What is {0} plus {1}?|What is {0} + {1}?|{0} + {1}|Sum {0} and {1}.|Calculate {0} plus {1}.|How much is {0} + {1}?",
            "Please add {0} to {1}.|Compute the sum of {0} and {1}.",
            "Can you sum {0} and {1}?|{0} plus {1}|{0} plus {1}?|Add {1} onto {0}|Add the numbers {0} and {1}.|Put {0} and {1} together.|What do {0} and {1} make?|What is the sum of {0} and {1}?|What's {0} + {1}?|I have {0} and get {1} more, how many is that?|Add {0} to {1}.|Find {0} + {1}.|Use the tool to add {0} and {1}.|Work out {0} plus {1} for me.|How much do {0} and {1} give?|Total of {0} and {1}?|The sum of {0} and {1}, please.|Let us add {0} and {1}.|Tell me {0} plus {1}.",
        ),
    ),
    Task(
        ("multiply", "product", "times", "mul"),
        ("Multiply two numbers.", "Product of two numbers."),
        (
            Slot(("a", "x", "first", "left"), "integer", lambda s: s.number(0, 9999)),
            Slot(("b", "y", "second", "right"), "integer", lambda s: s.number(0, 9999)),
        ),
        _asks(
            "Multiply {0} by {1}.|What is {0} times {1}?|What is {0} * {1}?|{0} * {1}|Calculate {0} times {1}.",
            "Compute {0} times {1}.|Please multiply {0} and {1}.",
            "{0} times {1}|{0} times {1}?|Multiply {0} with {1}.|What is the product of {0} and {1}?|What's {0} x {1}?|{0} x {1}|The product of {0} and {1}, please.|Work out {0} times {1} for me.|How much is {0} times {1}?|Take {0} times {1}.|Tell me {0} times {1}.|Multiply the numbers {0} and {1}.|Find {0} * {1}.",
        ),
    ),
    Task(
        ("send_message", "message", "send_text", "text_person", "notify"),
        ("Send a message to a person.", "Sends a text.", "Message someone."),
        (PERSON, TEXT),
        _asks(
            'Send a message to {0}: {1}|Tell {0}: {1}|Message {0}: {1}|Write to {0}: {1}|Text {0}: {1}|Send {0} the message "{1}"|Let {0} know: {1}',
            'Please send {0} this message: {1}|Send "{1}" to {0}',
            'Send {0} a message: {1}|Send {0} a message that says "{1}"|Send "{1}" as a message to {0}.|Write "{1}" to {0}.|Text "{1}" to {0}|Say "{1}" to {0}|Message to {0}: {1}|A message for {0}: {1}|Pass this on to {0}: {1}|Tell {0} that {1}|Tell {0} "{1}"|Drop {0} a line: {1}|"{1}" should go to {0}.|Deliver this to {0}: {1}|Give {0} this text: {1}|I want to tell {0}: {1}|The message "{1}" goes to {0}.|Inform {0}: {1}|Text {0} that {1}|Let {0} have this message: {1}|{0} should get the message "{1}"|Send the text "{1}" to my friend {0}.|Write a message to {0} saying {1}|Write {0} a note with the words "{1}"',
        ),
    ),
    Task(
        ("send_email", "email", "mail", "write_email"),
        ("Send an email.", "Sends mail to an address."),
        (
            Slot(("to", "address", "recipient"), "string", email),
            Slot(("subject", "title"), "string", few_words),
        ),
        _asks(
            "Send an email to {0} about {1}|Email {0} with the subject {1}|Write a mail to {0}, subject {1}|Mail {0} about {1}",
            "Please email {0} about {1}|Send mail to {0} with subject {1}",
            'Send {0} an email about {1}|Send {0} an email with the subject "{1}"|Write an email to {0}, the subject is {1}|Write to {0} about {1}|Mail to {0}, subject: {1}|An email to {0} with the title {1}|I want to email {0} about {1}|Compose a mail for {0} about {1}|Send an email with the subject "{1}" to {0}|Email with title "{1}" to {0}|New mail to {0}: {1}|Drop a mail to {0} about {1}|Reach {0} by email about {1}|Let {0} get an email called "{1}"|Start an email to {0} with subject {1}',
        ),
    ),
    Task(
        ("read_file", "open_file", "show_file", "cat", "get_file"),
        ("Read a file.", "Shows what is in a file.", "Returns the content of a file."),
        (FILE,),
        _asks(
            "Read the file {0}|Read {0}|Show me {0}|What is in {0}?|Open {0}|Open the file {0}|Show the content of {0}|What does {0} say?|Print the file {0}",
            "Please read {0}|Can you open {0} for me?|Show the file {0}",
            "Load {0} and show it|Let me see {0}|I want to read {0}|I want to see the file {0}|Give me what is in {0}|Print {0}|Display {0}|Look into {0}|What stands in {0}?|What's in the file {0}?|What does the file {0} contain?|Get the content of {0}|Get me {0}|Take a look at {0}|The file {0}, please.|Show what is written in {0}|Return the text of {0}|Open up {0} and read it|Read {0} to me|Read {0} for me, please.|Would you open {0}, please?|cat {0}",
        ),
    ),
    Task(
        ("write_file", "save_file", "create_file", "save"),
        ("Write text into a file.", "Saves text to a file."),
        (FILE, TEXT),
        _asks(
            "Write to {0}: {1}|Save into {0}: {1}|Create the file {0} with: {1}|Put this into {0}: {1}|Save to {0} the text {1}",
            "Please save in {0}: {1}|Write the file {0} with the text {1}",
            'Write "{1}" to {0}|Write "{1}" into the file {0}|Save "{1}" in {0}|Save "{1}" as {0}|Put "{1}" into {0}|Store "{1}" in the file {0}|Store in {0}: {1}|Make a file {0} that says {1}|Make the file {0} with the content "{1}"|Create {0} with the text {1}|Create {0} that says {1}|Create a file called {0} with "{1}" in it.|I want a file {0} with this in it: {1}|New file {0}: {1}|Fill {0} with: {1}|Write down in {0}: {1}|Note in {0} that {1}|The file {0} should say "{1}"|Keep this in {0}: {1}|Save the words {1} to {0}|Write into {0} the words "{1}"',
        ),
    ),
    Task(
        ("list_files", "ls", "list_directory", "dir"),
        ("List the files of a folder.", "What is in a folder."),
        (
            Slot(
                ("folder", "path", "directory", "dir"),
                "string",
                lambda s: s.pick(
                    (s.pick(NOUNS), invented(s), "/" + invented(s), f"{invented(s)}/{s.pick(NOUNS)}")
                ),
            ),
        ),
        _asks(
            "List the files in {0}|Which files are in {0}?|Show the folder {0}|What files are in {0}?|List {0}|What is in the folder {0}?",
            "Please list the folder {0}|Show me all files in {0}",
            "What files does {0} have?|What's in the folder {0}?|What's in {0}?|ls {0}|Give me the files of {0}|I want to see the files in {0}|Which files does the folder {0} have?|Show what is in the folder {0}|Show the files in {0}|Look into the folder {0}|Files in {0}?|The contents of the folder {0}, please.|Name all files in {0}.|Tell me which files are in {0}.|List everything in {0}.|List the directory {0} for me.|Print the files of the directory {0}|What does the directory {0} contain?",
        ),
    ),
    Task(
        ("search_web", "web_search", "search", "google", "find_online"),
        ("Search the web.", "Looks something up on the internet.", "Web search."),
        (QUERY,),
        _asks(
            "Search for {0}|Search the web for {0}|Look up {0}|Find information about {0}|Google {0}|Search {0} on the web|Look for {0} online",
            "Please search the web for {0}|Can you look up {0} online?",
            "Search online for {0}|Find {0} on the internet|Find out about {0}|Find something about {0}|I want to know more about {0}|Do a web search for {0}|Look {0} up on the web|Look on the internet for {0}|What does the web say about {0}?|Ask the internet about {0}|Web search: {0}|Search: {0}|Please google {0}|Try to find {0} online|What can you find about {0}?|Search the internet for {0}, please.|Get me web pages about {0}|Check online for {0}|Run a search for {0}|I am looking for {0}, search the web.",
        ),
    ),
    Task(
        ("set_timer", "timer", "start_timer", "countdown"),
        ("Set a timer.", "Starts a timer in minutes."),
        (_number("minutes duration time", 1, 120),),
        _asks(
            "Set a timer for {0} minutes.|Timer for {0} minutes|Start a timer of {0} minutes.|Wake me in {0} minutes.|{0} minute timer, please.",
            "Please set a {0} minute timer.|I need a timer for {0} minutes.",
            "Count down {0} minutes.|Countdown of {0} minutes|Time {0} minutes.|Tell me when {0} minutes are over.|Remind me in {0} minutes.|Let me know after {0} minutes.|{0} minutes timer|Timer: {0} minutes|A timer for {0} minutes, please.|A {0} minute timer.|Start a {0} minute timer now.|Begin a countdown of {0} minutes.|Put a timer on for {0} minutes.|Set the timer to {0} minutes.|Set a timer to ring in {0} minutes.|Ring after {0} minutes.|Give me {0} minutes on the timer.|I am cooking, set {0} minutes.",
        ),
    ),
    Task(
        ("set_alarm", "alarm", "wake_up"),
        ("Set an alarm.", "Wakes you at a time."),
        (Slot(("time", "at"), "string", clock),),
        _asks(
            "Set an alarm for {0}.|Wake me at {0}.|Alarm at {0}|Set the alarm to {0}.",
            "Please wake me up at {0}.|I need an alarm at {0}.",
            "Set my alarm for {0}.|Set an alarm at {0}, please.|An alarm for {0}, please.|Alarm: {0}|I want to wake up at {0}.|I must get up at {0}.|Let me sleep until {0}.|Get me up at {0}.|Ring at {0}.|Ring the alarm at {0}.|Make an alarm for {0}.|Create an alarm for {0} tomorrow.|The alarm should ring at {0}.|Wake me tomorrow at {0}.|Put an alarm on for {0}.|Have an alarm go off at {0}.",
        ),
    ),
    Task(
        ("convert_currency", "exchange", "convert_money", "currency"),
        ("Convert money.", "Converts an amount into another currency."),
        (
            _number("amount value", 1, 5000),
            Slot(
                ("source", "from_currency", "base"),
                "string",
                lambda s: s.pick(("EUR", "USD", "GBP", "JPY", "CHF", invented(s, 1, 1).upper())),
            ),
            Slot(
                ("target", "to_currency", "into"),
                "string",
                lambda s: s.pick(("EUR", "USD", "GBP", "SEK", "INR", invented(s, 1, 1).upper())),
            ),
        ),
        _asks(
            "Convert {0} {1} to {2}.|How much is {0} {1} in {2}?|Change {0} {1} into {2}.|{0} {1} in {2}?",
            "Please convert {0} {1} into {2}.|What is {0} {1} worth in {2}?",
            "Convert {0} {1} into {2} for me.|How many {2} are {0} {1}?|How many {2} do I get for {0} {1}?|How much {2} is {0} {1}?|{0} {1} to {2}|{0} {1} into {2}, please.|What are {0} {1} in {2}?|What do I get for {0} {1} in {2}?|Exchange {0} {1} for {2}.|Turn {0} {1} into {2}.|I have {0} {1}, what is that in {2}?|Give me {0} {1} in {2}.|Tell me how much {0} {1} makes in {2}.|Work out {0} {1} in {2}.|The value of {0} {1} in {2}?|From {1} to {2}: {0}|I want to change {0} {1} to {2}.|Swap {0} {1} to {2}.|Show {0} {1} as {2}.",
        ),
    ),
    Task(
        ("translate", "translate_text", "translator"),
        ("Translate a text.", "Translates into another language."),
        (TEXT, Slot(("language", "target", "lang"), "string", lambda s: s.pick(LANGUAGES))),
        _asks(
            'Translate "{0}" into {1}.|Translate into {1}: {0}|How do you say "{0}" in {1}?|Say "{0}" in {1}.',
            'Please translate "{0}" to {1}.|What is "{0}" in {1}?',
            'Translate "{0}" to {1}.|Translate to {1}: {0}|Translate this into {1}: {0}|Translate the text "{0}" into {1}, please.|Put "{0}" into {1}.|"{0}" in {1}?|"{0}" in {1}, please.|What does "{0}" mean in {1}?|What is {1} for "{0}"?|What is the {1} for "{0}"?|What do they say for "{0}" in {1}?|Give me "{0}" in {1}.|Tell me "{0}" in {1}.|I need "{0}" in {1}.|Write "{0}" in {1}.|In {1}, how do I say "{0}"?|How would I say "{0}" in {1}?|Turn "{0}" into {1}.|Into {1}: {0}|Can I have "{0}" in {1}?',
        ),
    ),
    Task(
        ("create_event", "add_event", "schedule_meeting", "add_to_calendar"),
        ("Add an event to the calendar.", "Creates a meeting.", "Plan an event."),
        (
            Slot(("title", "event", "name"), "string", few_words),
            Slot(("day", "date"), "string", lambda s: s.pick(DAYS)),
            Slot(("time", "start"), "string", clock),
        ),
        _asks(
            "Schedule {0} on {1} at {2}.|Add {0} to my calendar on {1} at {2}.|Plan {0} for {1} at {2}.|Create the event {0} on {1} at {2}.",
            "Please schedule {0} for {1} at {2}.|Put {0} into my calendar, {1} at {2}.",
            'Schedule "{0}" for {1}, {2}.|Put {0} on my calendar for {1} at {2}.|Put "{0}" in the calendar on {1} at {2}.|Put {0} down for {1} at {2}.|On {1} at {2} I have {0}.|On {1} at {2}: {0}|Add the event {0} on {1} at {2}.|Add an event called {0} for {1} at {2}.|Add {0} on {1}, {2}, to the calendar.|New event {0}, {1} {2}|New meeting {0} on {1} at {2}|Make a meeting {0} on {1} at {2}.|Make an appointment {0} for {1} at {2}.|Set up {0} for {1} at {2}.|Enter {0} for {1} at {2}.|Calendar: {0}, {1}, {2}|I have {0} on {1} at {2}, note it.|Remember {0} on {1} at {2}.|At {2} on {1} there is {0}, add it.|Plan a meeting about {0} on {1} at {2}.|Book {0} on {1} at {2} in my calendar.',
        ),
    ),
    Task(
        ("play_music", "play", "play_song", "music"),
        ("Play music.", "Plays a song."),
        (Slot(("song", "title", "name", "track"), "string", few_words),),
        _asks(
            "Play {0}|Play the song {0}|I want to hear {0}|Put on {0}|Start the music {0}",
            "Please play the song {0}|Can you play {0}?",
            'Play "{0}".|Play me {0}|Play "{0}" now.|Play the track {0}|Put the song {0} on|Put on some {0}|Let me hear {0}|Let me listen to {0}|I want to listen to {0}|I feel like hearing {0}|Start {0}|Start playing {0}|Start the song {0}|Music: {0}|Song: {0}|Could we hear {0}?|Turn on the song {0}|I like the song {0}, play it.|The song {0}, please.',
        ),
    ),
    Task(
        ("turn_on", "switch_on", "light_on", "enable_device"),
        ("Turn a device on.", "Switches something on."),
        (Slot(("device", "name", "room"), "string", lambda s: s.pick((s.pick(NOUNS), invented(s)))),),
        _asks(
            "Turn on the {0}|Switch on the {0}|Turn the {0} on|Switch the {0} on, please",
            "Please turn on the {0}|Can you switch on the {0}?",
            "Turn {0} on|Turn on {0}, please.|Switch {0} on.|Switch on {0} now.|Power on the {0}|Start the {0}|Activate the {0}|Enable the {0}|The {0} should be on.|I want the {0} on.|I need the {0} switched on.|Please put the {0} on.|Put the {0} on|Get the {0} running.|Make sure the {0} is on.|Can you turn the {0} on?|Would you turn on the {0} for me?|{0} on|{0} on, please",
        ),
    ),
    Task(
        ("set_light", "light", "set_color", "lamp"),
        ("Set the colour of a lamp.", "Changes the light."),
        (
            Slot(("room", "lamp"), "string", lambda s: s.pick((s.pick(NOUNS), invented(s)))),
            Slot(("color", "colour"), "string", lambda s: s.pick(COLOURS)),
        ),
        _asks(
            "Make the light in the {0} {1}.|Set the {0} lamp to {1}.|Light in the {0}: {1}|Turn the {0} light {1}.",
            "Please make the {0} light {1}.|Change the light in the {0} to {1}.",
            "Set the light in the {0} to {1}.|Set the {0} light to {1}.|Set the colour of the {0} lamp to {1}.|Turn the light in the {0} {1}.|Turn the {0} lamp {1}.|Change the {0} lamp to {1}.|Change the {0} light to {1}, please.|Make the {0} lamp {1}.|Make the lamp in the {0} {1}.|I want {1} light in the {0}.|I want the {0} light to be {1}.|Give the {0} a {1} light.|The {0} light should be {1}.|The lamp in the {0} should turn {1}.|{1} light in the {0}, please.|Colour the {0} lamp {1}.|Let the {0} lamp shine {1}.|Light the {0} in {1}.|Switch the light of the {0} to {1}.",
        ),
    ),
    Task(
        ("get_stock_price", "stock_price", "quote", "share_price"),
        ("Price of a share.", "Get the stock price of a company."),
        (
            Slot(
                ("symbol", "company", "ticker"),
                "string",
                lambda s: s.pick((invented(s, 1, 1).upper(), invented(s).capitalize())),
            ),
        ),
        _asks(
            "What is the stock price of {0}?|Stock price of {0}?|How is the share of {0}?|Price of {0} shares|Get the stock price for {0}.",
            "Please get the price of {0} stock.|How much is a share of {0}?",
            "Stock of {0}?|What does {0} stock cost?|What does a share of {0} cost?|What is the price of {0} stock today?|What is {0} stock at right now?|What is {0} trading at?|What are {0} shares worth?|How is {0} stock doing?|How much are {0} shares?|How much is {0} stock now?|How expensive is a {0} share?|Show me the stock price of {0}.|Show the {0} share price.|Tell me the price of {0} shares.|The share price of {0}, please.|{0} stock|{0} stock price|{0} share price, please.|Check the stock {0}.|Look up the shares of {0}.|Look up {0} stock for me.|Quote for {0}|Get me the price of a {0} share.|I own {0} stock, what is it worth?",
        ),
    ),
    Task(
        ("roll_dice", "dice", "roll", "throw_dice"),
        ("Roll dice.", "Throws dice."),
        (_number("count dice number", 1, 9),),
        _asks(
            "Roll {0} dice.|Throw {0} dice.|Please roll {0} dice|Let us roll {0} dice.",
            "Can you roll {0} dice?|Roll the dice {0} times.",
            "Roll {0} dice now.|Roll {0} dice for me.|Throw {0} dice for me.|Throw the dice {0} times.|{0} dice|{0} dice, please.|I want to roll {0} dice.|I need {0} dice rolled.|Give me {0} dice.|Give me a roll of {0} dice.|Could you throw {0} dice?|Take {0} dice and roll them.|We need {0} dice.|Let {0} dice roll.|A roll with {0} dice, please.|Dice: {0}",
        ),
    ),
    Task(
        ("book_table", "reserve_table", "make_reservation", "reserve"),
        ("Book a table in a restaurant.", "Reserves a table."),
        (
            Slot(("restaurant", "place", "name"), "string", lambda s: invented(s).capitalize()),
            _number("people guests seats", 1, 12),
        ),
        _asks(
            "Book a table at {0} for {1} people.|Reserve a table for {1} at {0}.|A table for {1} at {0}, please.|I want to eat at {0} with {1} people.",
            "Please reserve a table at {0} for {1} people.|Get us a table for {1} at {0}.",
            "Book {0} for {1} people.|Book us a table for {1} at {0}.|Book a table for {1} in the restaurant {0}.|Reserve {0} for {1} guests.|Reserve {1} seats at {0}.|Make a reservation at {0} for {1}.|Make a reservation for {1} people at {0}.|I need a table for {1} at {0}.|I want a table at {0} for {1} people.|We are {1} people and want to eat at {0}.|We are {1}, get a table at {0}.|Find us a table at {0} for {1}.|Table for {1} at {0}|Table at {0}, {1} people|A reservation at {0} for {1} persons, please.|Can you get {1} seats at {0}?|At {0}, a table for {1}, please.|Ask {0} for a table for {1}.|{1} of us want dinner at {0}.",
        ),
    ),
    Task(
        ("get_population", "population", "count_people"),
        ("Population of a city.", "How many people live in a place."),
        (CITY,),
        _asks(
            "How many people live in {0}?|What is the population of {0}?|Population of {0}?|How big is {0}?",
            "Tell me how many people live in {0}.|Look up the population of {0}.",
            "How many live in {0}?|How many inhabitants does {0} have?|How many people are there in {0}?|How large is the population of {0}?|How many citizens has {0}?|What is {0}'s population?|What population does {0} have?|The population of {0}, please.|{0} population|Number of people in {0}?|Number of inhabitants of {0}|Get the population of {0}.|Find out how many people live in {0}.|Do many people live in {0}? How many?|I want to know the population of {0}.|Give me the number of people living in {0}.|Check how big {0} is.|Count the people of {0}.",
        ),
    ),
    Task(
        ("find_route", "route", "directions", "navigate"),
        ("Find the way between two places.", "Directions from one place to another."),
        (
            Slot(("start", "origin", "source"), "string", city),
            Slot(("end", "destination", "goal"), "string", city),
        ),
        _asks(
            "How do I get from {0} to {1}?|Route from {0} to {1}|Find the way from {0} to {1}.|Directions from {0} to {1}, please.",
            "Show me the way from {0} to {1}.|I want to go from {0} to {1}.",
            "How can I get from {0} to {1}?|How do we drive from {0} to {1}?|How do I reach {1} from {0}?|I am in {0}, how do I get to {1}?|I am in {0} and want to go to {1}.|I need directions from {0} to {1}.|I need to get from {0} to {1}.|I travel from {0} to {1}, which way?|What is the way from {0} to {1}?|What is the best route from {0} to {1}?|Which road goes from {0} to {1}?|Take me from {0} to {1}.|Bring me from {0} to {1}.|Guide me from {0} to {1}.|Plan a trip from {0} to {1}.|Plan the route from {0} to {1}, please.|Route to {1} from {0}|Give me the route to {1} from {0}.|Get me to {1} from {0}.|The way to {1} from {0}, please.|Go to {1} from {0}.|From {0} to {1}|From {0} to {1}, please.|Navigate from {0} to {1}.|Directions to {1}, starting in {0}.|Find a route between {0} and {1}.",
        ),
    ),
    Task(
        ("get_user", "find_user", "lookup_user", "user_info", "get_customer"),
        ("Look up a user.", "Information about a user.", "Find a person."),
        (Slot(("id", "user_id", "number"), "integer", lambda s: s.number(1, 99999)),),
        _asks(
            "Look up user {0}.|Who is user {0}?|Get the user {0}|Find user number {0}|Show user {0}|Information about user {0}, please.",
            "Please find the user with id {0}.|Which user has the number {0}?",
            "Find user {0}.|Find the user {0} for me.|Find the user whose id is {0}.|Who has the id {0}?|Who is the user with number {0}?|Who is number {0}?|Which user is {0}?|Get user {0}, please.|Get me the data of user {0}.|Get information about user {0}.|Give me user {0}.|Show me the user {0}.|Show me the user with the id {0}.|Look for user {0}.|Look up the user with number {0}.|Look up customer {0}.|Tell me about user {0}.|What do we know about user {0}?|I need the user {0}.|I need the data of customer number {0}.|User {0}|User {0}, please.|User number {0}?|Open the customer {0}.|Check user {0}.|The user with id {0}, please.",
        ),
    ),
    Task(
        ("list_models", "models", "show_models", "installed_models"),
        ("List the models.", "Which models are installed."),
        (),
        _asks(
            "Which models are installed?|List the models.|Show me all models.|What models do I have?",
            "Please list all models.|What models are there?",
            "Which models are there?|Which models do we have?|Which models can I use?|Which models can be used here?|What models are installed?|What models can I use?|What models do you have?|Show the models.|Show the list of models.|Show me which models are installed.|Show installed models, please.|List all models.|List models|List every installed model.|Give me a list of the models.|Give me all models.|Tell me which models there are.|Are there any models?|Do I have models here?|Models?|The models, please.|I want to see all models.|Name the models that are installed.|Get the installed models.",
        ),
    ),
    Task(
        ("today", "current_date", "get_date"),
        ("Today's date.", "Tells which day it is."),
        (),
        _asks(
            "What day is it today?|Which date is today?|What is the date?|Tell me the date.",
            "What's the date today?|Which day is today?",
            "What's today's date?|What's the date?|What date is it?|What date do we have?|What day do we have today?|What day of the week is it?|What is today?|What is the date today?|What is today's date?|Which day do we have?|Which day is it?|Which date do we have today?|Today's date?|Today's date, please.|The date, please.|Date?|Date today|Give me the date.|Give me today's date.|Tell me today's date.|Tell me which day it is.|Tell me what day it is.|Show the date.|I need the date of today.|I forgot the date, what is it?|Do you know the date?|Is it Monday today?",
        ),
    ),
)
