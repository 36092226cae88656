"""More ways to ask about lmbridge, for the second part of the training: every topic under many names and aims.

A topic's own list teaches what the answer is; these teach that the same thing may be asked in any form.
"""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501

from __future__ import annotations

from models.corpus.about import TOPICS, Topic, worn
from models.corpus.source import Conversation, Source, assistant, user

ABOUT_A_THING = [
    "Tell me about {x}.",
    "What about {x}?",
    "Explain {x}.",
    "Describe {x}.",
    "What is {x}?",
    "What can you tell me about {x}?",
    "I want to know more about {x}.",
    "Tell me more about {x}.",
    "{x}",
    "{x}?",
    "Say something about {x}.",
    "What do you know about {x}?",
    "How does {x} work?",
    "Please explain {x}.",
    "Can you explain {x}?",
    "What does {x} mean?",
    "What is {x} for?",
    "Why is there {x}?",
    "Give me information about {x}.",
    "I have a question about {x}.",
    "Teach me {x}.",
    "Is there {x}?",
    "Does lmbridge have {x}?",
    "What should I know about {x}?",
    "Could you describe {x}?",
]
ABOUT_AN_AIM = [
    "How can I {x}?",
    "How do I {x}?",
    "I want to {x}.",
    "I would like to {x}.",
    "What must I type to {x}?",
    "Which command do I use to {x}?",
    "Is there a way to {x}?",
    "Show me how to {x}.",
    "Can I {x}?",
    "Tell me how to {x}.",
    "Help me to {x}.",
    "What do I do to {x}?",
    "I need to {x}.",
    "{x}",
    "Is it possible to {x}?",
    "Which command lets me {x}?",
    "How could I {x}?",
    "What is the command to {x}?",
    "Please tell me how to {x}.",
    "Where can I {x}?",
    "What is the best way to {x}?",
    "Can lmbridge {x}?",
    "May I {x}?",
    "I am trying to {x}.",
    "How would I {x}?",
    "Do you know how to {x}?",
]

# By a topic's first question: what it is called, and what people want who ask about it.
NAMES_AND_AIMS: dict[str, tuple[str, str]] = {
    "What is lmbridge?": (
        "lmbridge|this program|this package|this software|the lmbridge project|the whole thing|this tool|the bridge",
        "understand lmbridge|know what lmbridge is|use my own models everywhere",
    ),
    "Who are you?": (
        "yourself|you|lmbridge-tiny|your name|this model|the built-in chat model|the demonstration model",
        "know who you are|know your name|learn which model answers",
    ),
    "What can you do?": (
        "your abilities|your skills|the things you can do|your talents|what you can do",
        "know what you can do|get help from you|use you|test you|try you out",
    ),
    "What can you not do?": (
        "your limits|your size|your weak points|your mistakes|your quality|the number of your parameters",
        "trust you|rely on your answers|know your limits|know how clever you are",
    ),
    "How do I chat?": (
        "lmbridge chat|the chat command|chatting|the chat|a chat in the terminal|the terminal chat",
        "chat|chat with a model|talk to a model|start a chat|begin a conversation|open a chat|speak with my model|talk with a certain model|chat in the terminal",
    ),
    "How do I ask a single question?": (
        "-p|the -p option|lmbridge chat -p|a single prompt|the prompt option|one-shot mode",
        "ask one question|ask a single thing|send one prompt|get one answer and be done|use -p|give the prompt as an argument|ask without opening a chat|use it in a script",
    ),
    "How do I summarise a file?": (
        "pipes|standard input|stdin|piping|reading from a pipe|summarising a file",
        "summarise a file|pipe text into a model|send a text file to a model|read from stdin|summarise my notes|use a pipe|feed notes.txt to the model|pass a document to a model",
    ),
    "How do I get JSON?": (
        "--json|the --json option|JSON output|machine-readable output|output for programs",
        "get JSON|print JSON|have the answer as JSON|use the output in a program|get machine-readable output|read the answer with jq",
    ),
    "What does --schema do?": (
        "--schema|the --schema option|structured output|a JSON schema|JSON that fits a schema|schema support|the schema file",
        "force a schema|use a JSON schema|get structured output|make the answer fit my schema|constrain the output|get exactly the fields I want|give a schema",
    ),
    "What does --stats do?": (
        "--stats|/stats|the --stats option|statistics|the speed of my model|tokens per second|the token count|the speed display",
        "see the speed|see how fast a model is|measure tokens per second|see statistics|count my tokens|know the speed|show the stats",
    ),
    "Which commands are there inside the chat?": (
        "/help|the slash commands|the commands inside the chat|the chat commands|commands with a slash",
        "see the chat commands|list the slash commands|get help inside the chat|know the commands of the chat|find out what I can type in the chat",
    ),
    "What does /model do?": (
        "/model|the /model command|changing the model in a chat|switching models",
        "change the model in the chat|switch to another model in the chat|go on with another model|pick a different model during a chat|swap the model",
    ),
    "What does /system do?": (
        "/system|the system prompt|the /system command|the system message",
        "set a system prompt|give the model a role|change the system prompt|tell the model how to behave|write a system message",
    ),
    "What does /clear do?": (
        "/clear|the /clear command|clearing the chat|starting over",
        "start over|clear the chat|forget the conversation|empty the history|begin again|start a fresh conversation|delete the history",
    ),
    "What does /save do?": (
        "/save|/load|the /save command|the /load command in a chat|saved chats|saving a conversation",
        "save a chat|save this conversation|load a saved chat|keep my conversation|continue an old conversation|store the chat in a file|open an old chat",
    ),
    "What does /quit do?": (
        "/quit|the /quit command|leaving the chat|the end of a chat",
        "quit|leave the chat|exit the chat|end the chat|close the chat|stop the chat|get out of the chat",
    ),
    "How do I start the server?": (
        "lmbridge serve|the serve command|the server command|serving models|the API server",
        "start the server|serve my models|start the API|offer my models to other programs|run a server|share my models over HTTP|get an API|start the HTTP server",
    ),
    "How do I change the port?": (
        "--host|--port|--host and --port|the host option|the port option|another port|another address|the bind address",
        "change the port|set the host|choose another port|listen on another address|bind to another host|make the server reachable from my network|pick a free port",
    ),
    "Which port does lmbridge use?": (
        "port 1235|the base URL|the address of the gateway|the port of the gateway|the default port|the URL for OpenAI clients|the API address",
        "connect an OpenAI client|use the openai package|point my program at lmbridge|find the address of the API|find the base URL|reach the API|use an OpenAI program with lmbridge",
    ),
    "Which routes does the gateway have?": (
        "the routes|the endpoints|the HTTP API|the REST API|the OpenAI-compatible API|/v1/models|/v1/chat/completions|/v1/completions|OpenAI compatibility",
        "see the endpoints|list the routes|use the chat completions API|know which API it speaks|use an OpenAI-compatible API",
    ),
    "How do I check the health?": (
        "/health|/metrics|the health check|the metrics|monitoring|the health route|counters for monitoring",
        "check the health|monitor lmbridge|see that the server is alive|get metrics|watch the gateway|know whether the gateway is up|collect metrics",
    ),
    "How do I get embeddings?": (
        "embeddings|/v1/embeddings|lmbridge-tiny-embed|the embedding model|vectors for text|text embeddings",
        "get embeddings|embed a text|turn text into numbers|make vectors of my texts|compare the meaning of texts|use the embedding model",
    ),
    "How do I list the models?": (
        "lmbridge ls|the ls command|the list of models|listing models",
        "list the models|list models|see my models|see which models I have|show all models|find out which models exist|get a list of models|see the installed models|look at the available models",
    ),
    "Which models are loaded?": (
        "lmbridge ps|the ps command|loaded models|running models|the models in memory",
        "see the loaded models|see what is in memory|see what is running|show loaded models|find out which models are loaded|check what is loaded now|list running models",
    ),
    "How do I load a model?": (
        "lmbridge load|the load command|loading models|a bigger model|a better model",
        "load a model|load a bigger model|use a bigger model|bring a model into memory|get better answers|load another model|start a model|use a real model",
    ),
    "How do I unload a model?": (
        "lmbridge unload|the unload command|unloading|freeing memory",
        "unload a model|free memory|free the memory|remove a model from memory|get rid of a loaded model|get my RAM back|drop a model from memory",
    ),
    "What does lmbridge status do?": (
        "lmbridge status|the status command|the status of lmbridge|the state of everything",
        "see the status|check the status|see whether everything works|check that LM Studio was found|see what lmbridge found|find out whether all is well|check my installation",
    ),
    "How do I start the gateway?": (
        "the gateway|lmbridge gateway|lmbridge gateway start|lmbridge gateway stop|lmbridge gateway status|the gateway command|the background server",
        "start the gateway|stop the gateway|run the gateway in the background|keep the server running|stop the background server|see whether the gateway runs|end the gateway",
    ),
    "How do I create a key?": (
        "keys|API keys|lmbridge keys|the keys command|access keys|lmbridge keys create|lmbridge keys list|lmbridge keys revoke|key management",
        "create a key|make an API key|revoke a key|list the keys|protect the gateway|give somebody access|take a key back|delete a key|add a key|see my keys",
    ),
    "How do I use lmbridge in Python?": (
        "the Python API|Python|lmbridge.connect|the Python library|Python code|lmbridge in Python|the Python package",
        "use lmbridge from Python|write Python code|call a model from Python|connect from Python|use it in my Python program|import lmbridge|write a Python script with it",
    ),
    "Which port does LM Studio use?": (
        "port 1234|the port of LM Studio|LM Studio's port|the address of LM Studio|LM Studio's server",
        "find LM Studio's port|know the port of LM Studio|reach LM Studio directly",
    ),
    "What is LM Studio?": (
        "LM Studio|the LM Studio program|the role of LM Studio|life without LM Studio",
        "use lmbridge without LM Studio|run models without LM Studio|use LM Studio with lmbridge|do without LM Studio|work together with LM Studio",
    ),
    "What is the embedded engine?": (
        "the engine|the embedded engine|llama.cpp|the built-in engine|the inference engine|the llama.cpp engine|the engine inside",
        "run models with the built-in engine|use llama.cpp|know which engine runs the models",
    ),
    "Where are the models?": (
        "GGUF|GGUF files|the model folder|model files|the folders with models|the place of the models|the file format of models",
        "add a model|install a model|find the model files|use my GGUF files|put a new model in place|get new models|use the models of LM Studio|store models",
    ),
    "What does make run do?": (
        "make run|make test|the make targets|the Makefile|the tests|running from source",
        "run the tests|try lmbridge from the source|run it from the source folder|test lmbridge|develop lmbridge|start it from a checkout",
    ),
    "How do I configure lmbridge?": (
        "lmbridge.toml|the configuration|the settings|the config file|environment variables|the settings file|the order of settings",
        "configure lmbridge|change a setting|change the settings|set options|use a config file|use environment variables|write a configuration|find the settings",
    ),
    "What is a lease?": (
        "a lease|leases|the lease|hub.lease|the lease idea|model leases",
        "get a lease|lease a model|share a model between programs|keep a model loaded while I use it|understand leases",
    ),
    "When are models unloaded?": (
        "the TTL|TTL|idle models|the time to live|automatic unloading|the unloading of idle models",
        "know when models are unloaded|have idle models unloaded|set how long a model stays loaded|free memory automatically|know how long models stay in memory",
    ),
    "Does lmbridge work offline?": (
        "privacy|offline use|data protection|working offline|my data|the safety of my data|internet access",
        "work offline|use it without internet|keep my data private|keep my text on my computer|avoid the cloud|use lmbridge on a plane",
    ),
    "What is the licence?": (
        "the licence|the license|the Apache licence|the price|the cost of lmbridge|open source|the terms of use",
        "use lmbridge for free|use it in a company|know the licence|share it with others|use it commercially",
    ),
    "What is a hub?": (
        "the hub|hubs|doors|a door|providers|a provider|the architecture|one hub, many doors|the design|the inner structure",
        "understand the architecture|understand hub and doors|know what a provider is|know how lmbridge works inside",
    ),
    "Can models call tools?": (
        "tools|tool calls|tool calling|function calling|function calls|tool support|functions",
        "call tools|use tools|use function calling|give the model tools|let a model call my functions|send tools with a request",
    ),
    "How do I install lmbridge?": (
        "installation|the installation|installing lmbridge|pip install lmbridge|the setup",
        "install lmbridge|install it|get lmbridge|download lmbridge|set up lmbridge|put lmbridge on another computer",
    ),
    "What is streaming?": (
        "streaming|streamed answers|the stream option|live output|token streaming",
        "stream answers|stream the answer|see the answer word by word|get the answer piece by piece|watch the answer being written|use streaming over HTTP",
    ),
    "What is MCP?": (
        "MCP|the browser extension|browser support|the doors of lmbridge|native messaging|MCP support|the ways to reach a model",
        "use it in the browser|use MCP|reach my models from a browser|connect an MCP host|use my models from everywhere|see the doors",
    ),
    "Can I use Ollama?": (
        "Ollama|vLLM|other servers|other providers|cloud models|other runtimes|Ollama support|the supported runtimes",
        "use Ollama|use vLLM|use another server|add a server|use a cloud model|connect another OpenAI-compatible server|add a provider|combine several servers",
    ),
}


def _plain(text: str) -> str:
    """*text* as far as wording goes."""
    return text.lower().strip(" .?!")


HELD_OUT = {_plain(phrase) for topic in TOPICS for phrase in topic.asks.held_out}


def ways(topic: Topic) -> list[str]:
    """Every further way to ask about *topic*; none that the evaluation uses."""
    things, aims = NAMES_AND_AIMS[topic.asks.train[0]]
    made = [form.format(x=thing) for thing in things.split("|") for form in ABOUT_A_THING]
    made += [form.format(x=aim) for aim in aims.split("|") for form in ABOUT_AN_AIM]
    return [text[0].upper() + text[1:] for text in made if _plain(text) not in HELD_OUT]


WAYS = [ways(topic) for topic in TOPICS]


def about_in_other_words(source: Source) -> Conversation:
    """One question about lmbridge, asked in any form."""
    place = source.number(0, len(TOPICS) - 1)
    topic = TOPICS[place]
    phrases = WAYS[place] if source.chance(0.75) else topic.asks.train
    question = worn(source.pick(phrases), source)
    return Conversation("about", [user(question), assistant(source.pick(topic.answers))], keywords=topic.keywords)
