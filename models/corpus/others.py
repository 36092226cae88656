"""How somebody else would ask for the same things: wordings for measuring alone.

Whoever wrote these saw the names, purposes and arguments of the everyday tools, and none of the wordings that the
model is trained on or steered by. What turned out to be one of those, to the letter, was taken out again.
"""

from __future__ import annotations

OTHERS: dict[str, tuple[str, ...]] = {
    "get_weather": (
        "What's it like outside in {0} right now?",
        "I'd like to know the weather in {0}.",
    ),
    "get_forecast": (
        "What will the weather be like in {0} over the next {1} days?",
        "Give me the {1}-day forecast for {0}.",
        "I want to know how the weather in {0} will turn out for the coming {1} days.",
    ),
    "get_time": (
        "Tell me the local time in {0}, please.",
        "I'd like to know how late it is in {0} right now.",
    ),
    "add": (
        "Add {0} and {1} together.",
        "If I have {0} and get {1} more, how many is that?",
    ),
    "multiply": (
        "Multiply {0} by {1} for me.",
        "I need the product of {0} and {1}.",
    ),
    "send_message": (
        'Can you send "{1}" to {0}?',
        "I want to let {0} know the following: {1}",
    ),
    "send_email": (
        'Send an email to {0} with the subject "{1}".',
        'Could you write a mail titled "{1}" to {0}?',
        "I need to email {0}. Subject: {1}",
    ),
    "read_file": (
        "Open {0} and show me what's inside.",
        "I'd like to see the contents of {0}.",
    ),
    "write_file": (
        'Save "{1}" to {0}.',
        "Could you put this text into {0}: {1}",
        'I want the file {0} to contain "{1}".',
    ),
    "list_files": (
        "Which files are in the {0} folder?",
        "Show me everything inside {0}.",
        "I'd like a list of the files in the directory {0}.",
    ),
    "search_web": (
        "Google {0} for me.",
        'Can you look up "{0}" online?',
        "I want to see what the internet has on {0}.",
    ),
    "set_timer": (
        "Start a timer for {0} minutes.",
        "Can you count down {0} minutes for me?",
        "Let me know when {0} minutes are up.",
    ),
    "set_alarm": (
        "Wake me up at {0}.",
        "I need to get up at {0}, so please set an alarm.",
    ),
    "convert_currency": ("I'd like to know how many {2} I would get for {0} {1}.",),
    "translate": ('I need "{0}" in {1}, please.',),
    "create_event": (
        'Put "{0}" in my calendar for {1} at {2}.',
        'I have something at {2} on {1}, please add it to my calendar as "{0}".',
    ),
    "play_music": (
        "Can you put on the song {0}?",
        "I feel like listening to {0}.",
    ),
    "turn_on": ("Could you turn the {0} on, please?",),
    "set_light": ("I'd like {1} light in the {0}.",),
    "get_stock_price": (
        "What's {0} trading at?",
        "Check the share price of {0}.",
        "I'd like to know how much one {0} share costs right now.",
    ),
    "roll_dice": ("I'd like to see what comes up with {0} dice.",),
    "book_table": (
        "Book a table for {1} at {0}.",
        "Can you get us a reservation at {0} for {1} people?",
        "We'd like to eat at {0}, please reserve seats for {1}.",
    ),
    "get_population": (
        "Tell me the population of {0}.",
        "I wonder how many inhabitants {0} has.",
    ),
    "find_route": (
        "Give me directions to {1} from {0}.",
        "I'm in {0} and want to go to {1}, which way should I take?",
    ),
    "get_user": (
        "Pull up the profile of user number {0}.",
        "I need the details for the user with ID {0}.",
    ),
    "list_models": (
        "Which models do you have installed?",
        "Show me all available models.",
        "I'd like to see a list of the models.",
    ),
    "today": ("I'd like to know today's date.",),
}
"""Wordings by the first name of the tool."""
