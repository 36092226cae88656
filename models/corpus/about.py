"""What the chat model knows about lmbridge: questions, answers, and the words a right answer must hold."""

# Lists of phrases are easier to read and to extend as one text than as one literal per line.
# ruff: noqa: E501

from __future__ import annotations

from dataclasses import dataclass

from models.corpus.source import Conversation, Source, Wordings, assistant, user


@dataclass(frozen=True)
class Topic:
    """One fact."""

    asks: Wordings
    answers: tuple[str, ...]
    keywords: tuple[str, ...]


def _topic(train: str, held_out: str, answers: str | tuple[str, ...], keywords: str) -> Topic:
    answers = (answers,) if isinstance(answers, str) else answers
    return Topic(Wordings(train.split("|"), held_out.split("|")), answers, tuple(keywords.split("|")))


TOPICS = (
    _topic(
        "What is lmbridge?|What's lmbridge?|Tell me about lmbridge.|Explain lmbridge.|What does lmbridge do?|"
        "Describe lmbridge.|lmbridge|lmbridge?|What is this?|What is this program?|What kind of program is lmbridge?|"
        "Can you explain what lmbridge is?|What is lmbridge for?|Why should I use lmbridge?|What is lmbridge good for?|"
        "Introduce lmbridge.|I do not know lmbridge. What is it?|Tell me what lmbridge is.|what is lmbridge about?|"
        "What is the purpose of lmbridge?|What can lmbridge do for me?|Why lmbridge?|What is lmbridge in one sentence?|"
        "Give me an overview of lmbridge.|Who needs lmbridge?",
        "Could you tell me what lmbridge is?|Explain to me what lmbridge does.|What exactly is lmbridge?|"
        "So what does lmbridge do?",
        "lmbridge makes the language models on your own computer usable from everywhere: Python, the terminal, "
        "browsers and every OpenAI-compatible program. It works with LM Studio, and where LM Studio is not installed "
        "it brings its own llama.cpp engine. One hub, many doors: the same rules for every caller, and nothing has to "
        "leave your machine.",
        "your own computer|LM Studio",
    ),
    _topic(
        "Who are you?|What are you?|What is your name?|Introduce yourself.|Tell me about yourself.|Are you a robot?|"
        "Are you an AI?|Are you human?|What model are you?|Which model is this?|What's your name?|Who is speaking?|"
        "Who am I talking to?|Are you ChatGPT?|Who made you?|what are you|who are you|Describe yourself.|"
        "Do you have a name?|Which model am I using?|What is lmbridge-tiny?|Tell me about lmbridge-tiny.",
        "Tell me who you are.|Please introduce yourself.|What should I call you?|Which model answers here?",
        "I am lmbridge-tiny, the very small demonstration model that comes with lmbridge. I run inside the package, "
        "without any download. For real work, load a bigger model with `lmbridge load`.",
        "lmbridge-tiny|model",
    ),
    _topic(
        "What can you do?|How can you help me?|What are you able to do?|What can I ask you?|Help|help me|"
        "What are your abilities?|What do you know?|Can you help me?|What are you good at?|What should I ask?|"
        "What can you help me with?|Help!|I need help|What questions can you answer?|Show me what you can do.",
        "Tell me what you can do.|What kind of things can you do?|What may I ask you?",
        "I can tell you about lmbridge and its commands, do small sums, repeat a sentence, fill in JSON and call tools. "
        "For anything bigger, load a larger model with `lmbridge load`.",
        "lmbridge|tools",
    ),
    _topic(
        "What can you not do?|What are your limits?|Are you clever?|How good are you?|Can I trust you?|Are you smart?|"
        "Can you write code?|Are your answers right?|What don't you know?|How big are you?|How many parameters do you have?|"
        "How large is this model?|Why are you so small?|Are you as good as a big model?",
        "How smart are you?|Tell me your limits.|What are you bad at?",
        "I am very small: about three and a half million parameters, trained on made-up sentences. I know lmbridge and a few simple "
        "tasks, and nothing else. Load a bigger model with `lmbridge load` for real answers.",
        "small|lmbridge load",
    ),
    _topic(
        "How do I chat?|How can I chat with a model?|How do I start a chat?|How do I talk to a model?|"
        "Which command starts a chat?|How do I use lmbridge chat?|What does lmbridge chat do?|lmbridge chat|"
        "How do I chat with another model?|How do I choose the model for a chat?|I want to chat.|How do I open a chat?|"
        "How do I start a conversation?|Explain lmbridge chat.|chat command?",
        "How can I begin a chat?|Which command lets me talk to a model?|What is lmbridge chat?",
        "Type `lmbridge chat` to talk to a model, or `lmbridge chat MODEL` to choose one. Inside the chat, `/help` lists "
        "the commands.",
        "lmbridge chat",
    ),
    _topic(
        "How do I ask a single question?|How do I ask one question from the shell?|What does -p do?|What is chat -p?|"
        "How do I send one prompt?|Can I ask something without a chat?|What does lmbridge chat -p do?|"
        "How do I ask just one thing?|How do I give a prompt on the command line?|How do I use -p?|What is the -p option?",
        "How can I ask only one question?|What is -p for?|How do I pass a prompt on the command line?",
        'Use `lmbridge chat -p "your question"`. It prints one answer and ends.',
        "chat -p",
    ),
    _topic(
        "How do I summarise a file?|Can I pipe a file into lmbridge?|How do I pipe text?|How do I use a file as input?|"
        "Can lmbridge read from stdin?|How do I send a file to a model?|How do I use lmbridge in a pipe?|"
        "How do I summarise my notes?|Does lmbridge read standard input?|How do I feed a text file to a model?",
        "How can I pipe my notes into lmbridge?|Can I send a text file through a pipe?|How do I summarise notes.txt?",
        'Pipe it in: `cat notes.txt | lmbridge chat -p "Summarise"`. The text is added to your prompt.',
        "cat notes.txt | lmbridge chat -p",
    ),
    _topic(
        "How do I get JSON?|What does --json do?|How do I get the answer as JSON?|Can lmbridge print JSON?|"
        "What is the --json option?|How do I get machine-readable output?|What is --json for?|How do I use --json?|"
        "Does chat have JSON output?",
        "How can I have JSON output?|Tell me about --json.|Which option prints JSON?",
        'Add `--json`: `lmbridge chat -p "..." --json` prints the answer as JSON, ready for other programs.',
        "--json",
    ),
    _topic(
        "What does --schema do?|How do I force a JSON schema?|How do I use a schema?|What is --schema?|"
        "How do I get an answer that fits my schema?|What is structured output?|Does lmbridge support JSON schema?|"
        "How do I make the model follow a schema?|What is --schema FILE?|How does structured output work?|"
        "Can the answer follow a JSON schema?",
        "How can I make the answer fit a schema?|Tell me about --schema.|Which option takes a JSON schema?",
        'Use `lmbridge chat -p "..." --schema FILE` with a JSON schema in the file. The engine then can only write '
        "JSON that fits it.",
        "--schema",
    ),
    _topic(
        "What does --stats do?|How fast is my model?|How do I see the speed?|How do I see tokens per second?|"
        "What is the --stats option?|Show statistics|How do I measure the speed?|How many tokens did I use?|"
        "What does /stats do?|What is /stats?|How do I see statistics?",
        "How can I see how fast a model is?|Tell me about --stats.|Which option shows the speed?",
        "Add `--stats` to `lmbridge chat`, or type `/stats` inside the chat: you see the tokens and the speed of the answer.",
        "--stats|/stats",
    ),
    _topic(
        "Which commands are there inside the chat?|What does /help do?|What is /help?|List the chat commands.|"
        "Which slash commands are there?|What can I type inside the chat?|What commands does the chat have?|"
        "Which commands start with a slash?|Show the slash commands.|How do I get help in the chat?|chat commands",
        "Tell me the commands inside the chat.|What slash commands exist?|Which commands can I use in a chat?",
        "Inside the chat you can use `/help`, `/model`, `/system`, `/clear`, `/save`, `/load`, `/stats` and `/quit`.",
        "/help|/model|/quit",
    ),
    _topic(
        "What does /model do?|How do I switch the model in a chat?|How do I change the model?|What is /model?|"
        "Can I use another model in the chat?|How do I select another model inside the chat?|Explain /model.",
        "How can I change the model during a chat?|What is /model for?",
        "Type `/model NAME` inside the chat to go on with another model.",
        "/model",
    ),
    _topic(
        "What does /system do?|How do I set a system prompt?|What is /system?|How do I give the model a role?|"
        "How do I change the system prompt?|Explain /system.|How do I set the system message in a chat?",
        "How can I set the system prompt?|What is /system for?",
        "Type `/system TEXT` inside the chat: the text becomes the system prompt for the answers that follow.",
        "/system",
    ),
    _topic(
        "What does /clear do?|How do I start over?|How do I clear the chat?|What is /clear?|How do I forget the conversation?|"
        "Explain /clear.|How do I empty the history?|How do I begin a new conversation?",
        "How can I clear the conversation?|What is /clear for?",
        "Type `/clear` inside the chat to forget the conversation and start anew.",
        "/clear",
    ),
    _topic(
        "What does /save do?|How do I save a chat?|What is /save?|How do I keep a conversation?|Explain /save.|"
        "How do I store the conversation?|Can I save this chat?|What does /load do?|How do I load a saved chat?|"
        "What is /load?|How do I open a saved conversation?|Explain /load.|How do I continue an old chat?",
        "How can I save this conversation?|What is /save for?|How can I load an old chat again?",
        "Type `/save FILE` to keep the conversation and `/load FILE` to go on with it later.",
        "/save|/load",
    ),
    _topic(
        "What does /quit do?|How do I leave the chat?|How do I quit?|How do I exit?|What is /quit?|How do I end the chat?|"
        "How do I close the chat?|Explain /quit.|exit|quit|How do I get out of here?",
        "How can I leave this chat?|What is /quit for?|How do I stop chatting?",
        "Type `/quit` to leave the chat.",
        "/quit",
    ),
    _topic(
        "How do I start the server?|What does lmbridge serve do?|How do I serve models?|lmbridge serve|"
        "How do I start the API?|What is lmbridge serve?|How do I run lmbridge as a server?|How do I start the gateway in front?|"
        "Which command starts the server?|How do I offer my models to other programs?|Explain lmbridge serve.|"
        "How do I make my models available over HTTP?|How do I get an API for my models?",
        "How can I start the server?|Which command serves the models?|Tell me about lmbridge serve.",
        "Run `lmbridge serve`. It starts the gateway at http://127.0.0.1:1235, and every OpenAI-compatible program can "
        "use your models there.",
        "lmbridge serve|1235",
    ),
    _topic(
        "How do I change the port?|How do I set the host?|Can I use another port?|What does --port do?|"
        "How do I serve on another port?|What does --host do?|How do I serve to my network?|How do I choose host and port?|"
        "Which options does lmbridge serve have?|Can other computers use the server?",
        "How can I choose another port?|Tell me about --host and --port.|How do I bind to another address?",
        "Use `lmbridge serve --host HOST --port PORT`. The default is 127.0.0.1 and 1235, so only your own computer can "
        "reach it.",
        "--host|--port",
    ),
    _topic(
        "Which port does lmbridge use?|What is the address of the gateway?|What is the base URL?|Which URL do I use?|"
        "On which port does the gateway listen?|Where is the API?|What is the default port?|What base URL does my client need?|"
        "Where does lmbridge listen?|Which port is it?|What port does the gateway use?|How do I connect an OpenAI client?|"
        "How do I use the openai package with lmbridge?|Can I use my OpenAI program?|What URL does an OpenAI client need?",
        "What is the URL of the API?|Which port does the server listen on?|Which base URL should I give to my OpenAI client?",
        "The gateway listens on http://127.0.0.1:1235. Give an OpenAI client the base URL http://127.0.0.1:1235/v1.",
        "1235",
    ),
    _topic(
        "Which routes does the gateway have?|Which endpoints are there?|What does the API offer?|List the endpoints.|"
        "Is it compatible with OpenAI?|Is lmbridge OpenAI-compatible?|What API does lmbridge speak?|Which API is it?|"
        "What are the routes?|Which HTTP routes are there?|Does it support chat completions?|Does lmbridge have a REST API?",
        "What endpoints does the server have?|Tell me the routes of the gateway.|Is the API like the one of OpenAI?",
        "The gateway is OpenAI-compatible: /v1/models, /v1/chat/completions, /v1/completions and /v1/embeddings. "
        "There are also /health and /metrics.",
        "/v1/chat/completions|/v1/models",
    ),
    _topic(
        "How do I check the health?|What is /health?|How do I know that the server is alive?|Is there a health check?|"
        "What does /health do?|How do I monitor lmbridge?|What is /metrics?|What does /metrics do?|Are there metrics?|"
        "How do I watch the gateway?",
        "Tell me about /health.|How can I see whether the gateway is up?|Which route gives metrics?",
        "GET /health says whether the gateway is up, and GET /metrics gives its counters for monitoring.",
        "/health|/metrics",
    ),
    _topic(
        "How do I get embeddings?|Can lmbridge make embeddings?|What are embeddings?|How do I embed a text?|"
        "Which model makes embeddings?|Does lmbridge support embeddings?|What is lmbridge-tiny-embed?|"
        "Is there an embedding model?|How do I use /v1/embeddings?",
        "How can I embed a sentence?|Tell me about embeddings.|Which embedding model is built in?",
        "Send your text to /v1/embeddings: it becomes a list of numbers, and texts of like meaning get like numbers. "
        "The built-in model for this is lmbridge-tiny-embed.",
        "/v1/embeddings|lmbridge-tiny-embed",
    ),
    _topic(
        "How do I list the models?|What does lmbridge ls do?|Which models do I have?|How do I see my models?|lmbridge ls|"
        "What is lmbridge ls?|Which command lists the models?|Show my models|How do I find out which models are installed?|"
        "Explain lmbridge ls.|list models",
        "How can I see which models I have?|Which command shows all models?|Tell me about lmbridge ls.",
        "`lmbridge ls` lists the models that you can use.",
        "lmbridge ls",
    ),
    _topic(
        "Which models are loaded?|What does lmbridge ps do?|How do I see the loaded models?|lmbridge ps|What is lmbridge ps?|"
        "Which command shows loaded models?|What is in memory?|Which models are running?|Explain lmbridge ps.|"
        "How do I see what is running?",
        "How can I see what is loaded?|Which command shows the running models?|Tell me about lmbridge ps.",
        "`lmbridge ps` shows the models that are loaded now.",
        "lmbridge ps",
    ),
    _topic(
        "How do I load a model?|What does lmbridge load do?|lmbridge load|How do I use a bigger model?|What is lmbridge load?|"
        "Which command loads a model?|How do I get a better model?|Explain lmbridge load.|I want a bigger model.|"
        "How do I bring a model into memory?|How do I use another model?|Load a model|How do I get real answers?",
        "How can I load another model?|Which command brings a model into memory?|Tell me about lmbridge load.",
        "`lmbridge load MODEL` loads a model into memory. `lmbridge ls` shows which models there are.",
        "lmbridge load",
    ),
    _topic(
        "How do I unload a model?|What does lmbridge unload do?|lmbridge unload|How do I free memory?|"
        "What is lmbridge unload?|Which command unloads a model?|How do I remove a model from memory?|"
        "Explain lmbridge unload.|How do I stop a model?|How do I get my memory back?",
        "How can I unload a model?|Which command frees the memory?|Tell me about lmbridge unload.",
        "`lmbridge unload MODEL` takes a model out of memory again.",
        "lmbridge unload",
    ),
    _topic(
        "What does lmbridge status do?|How do I see the status?|lmbridge status|What is lmbridge status?|Is everything working?|"
        "Which command shows the status?|How do I check whether LM Studio was found?|Explain lmbridge status.|"
        "How do I see what lmbridge found?",
        "How can I check the status?|Which command tells whether all is well?|Tell me about lmbridge status.",
        "`lmbridge status` shows what was found: LM Studio, the built-in engine, the gateway and the models.",
        "lmbridge status",
    ),
    _topic(
        "How do I start the gateway?|What is the gateway?|lmbridge gateway|How do I stop the gateway?|What does lmbridge gateway do?|"
        "How do I run the gateway in the background?|What does lmbridge gateway start do?|What does lmbridge gateway stop do?|"
        "Is the gateway running?|How do I stop the server?|Explain the gateway.|What does lmbridge gateway status do?|"
        "How do I keep the server running in the background?",
        "How can I stop the gateway?|Tell me about the gateway.|How can I run the gateway in the background?",
        "The gateway is the HTTP server of lmbridge. `lmbridge gateway start` runs it in the background, `lmbridge gateway stop` "
        "ends it, and `lmbridge gateway status` tells whether it runs.",
        "lmbridge gateway",
    ),
    _topic(
        "How do I create a key?|What does lmbridge keys do?|How do I revoke a key?|How do I list the keys?|lmbridge keys|"
        "How do I protect the gateway?|Do I need an API key?|What is lmbridge keys?|How do I make an API key?|"
        "How do keys work?|How do I delete a key?|Explain lmbridge keys.|How do I give somebody access?|Which keys are there?",
        "How can I make a new key?|Tell me about the keys.|How can I revoke an API key?",
        "`lmbridge keys create` makes an API key, `lmbridge keys list` shows the keys and `lmbridge keys revoke` takes one back.",
        "lmbridge keys",
    ),
    _topic(
        "How do I use lmbridge in Python?|Show me Python code.|How do I connect from Python?|Python example|"
        "What does the Python API look like?|How do I use it from Python?|How do I write a Python program with lmbridge?|"
        "How do I call a model from Python?|Is there a Python library?|How do I import lmbridge?|Give me a Python example.|"
        "What does lmbridge.connect do?",
        "How can I use lmbridge from a Python program?|Show the Python API.|How does lmbridge work in Python?",
        "In Python write `async with lmbridge.connect() as hub:` and use the hub inside: it finds your models, loads them "
        "and streams their answers.",
        "lmbridge.connect()|hub",
    ),
    _topic(
        "Which port does LM Studio use?|On which port does LM Studio listen?|What is the port of LM Studio?|LM Studio port|"
        "Where does LM Studio listen?|What is port 1234?|Where is LM Studio's server?",
        "Tell me the port of LM Studio.|What port does LM Studio listen on?",
        "LM Studio listens on port 1234. The gateway of lmbridge listens on 1235.",
        "1234",
    ),
    _topic(
        "What is LM Studio?|Do I need LM Studio?|Does lmbridge work without LM Studio?|Must I install LM Studio?|"
        "Is LM Studio needed?|How does lmbridge work with LM Studio?|What if LM Studio is not installed?|"
        "I do not have LM Studio.|Explain LM Studio.|Can I use lmbridge without LM Studio?",
        "Is LM Studio required?|Will lmbridge run without LM Studio?|Tell me about LM Studio.",
        "LM Studio is a desktop program that runs language models. lmbridge uses it where it is installed; where it is not, "
        "lmbridge runs the models itself with its built-in llama.cpp engine.",
        "LM Studio|llama.cpp",
    ),
    _topic(
        "What is the embedded engine?|Which engine does lmbridge use?|What is llama.cpp?|How does lmbridge run models itself?|"
        "What runs the models?|What is the built-in engine?|Does lmbridge use llama.cpp?|Explain the engine.|"
        "How are models run without LM Studio?",
        "Tell me about the engine.|What engine is built in?|What is the engine inside lmbridge?",
        "The embedded engine is llama.cpp. lmbridge runs each loaded model in its own process, so unloading really gives the "
        "memory back.",
        "llama.cpp",
    ),
    _topic(
        "Where are the models?|Where do the models come from?|How do I add a model?|Where does lmbridge look for models?|"
        "In which folder are the models?|How do I install a model?|Where do I put my GGUF files?|How do I get models?|"
        "Where are models stored?|What is GGUF?|What is a GGUF file?|Which file format do models have?|"
        "Which models can I use?|Explain GGUF.|Does lmbridge find my LM Studio models?",
        "Tell me where the models are.|Where should I put a GGUF file?|How can I add a new model?|What are GGUF files?",
        "Models are GGUF files. lmbridge finds them in LM Studio's folder and in its own; `lmbridge ls` lists them.",
        "GGUF|LM Studio",
    ),
    _topic(
        "What does make run do?|What does make test do?|How do I run the tests?|How do I run lmbridge from the source?|"
        "How do I test lmbridge?|What is make run?|What is make test?|How do I try lmbridge?|How do I develop lmbridge?|"
        "Which make targets are there?",
        "How can I run the tests?|Tell me about make run.|How can I try it from the source?",
        "In the source folder, `make run` shows a first answer and `make test` runs the tests.",
        "make run|make test",
    ),
    _topic(
        "How do I configure lmbridge?|What is lmbridge.toml?|Where are the settings?|How do I change a setting?|"
        "How do I set options?|Is there a config file?|What is the configuration file?|Can I use environment variables?|"
        "Which settings win?|In which order are settings read?|Explain lmbridge.toml.|Where do I configure it?",
        "How can I change the settings?|Tell me about lmbridge.toml.|Where is the configuration?",
        "Settings come from arguments, then the environment, then `lmbridge.toml`, then the defaults. The first one found wins.",
        "lmbridge.toml",
    ),
    _topic(
        "What is a lease?|How do leases work?|Why does lmbridge use leases?|Explain leases.|What does a lease do?|"
        "What is hub.lease?|How does a program get a model?|lease|How do two programs share a model?|What is a lease for?",
        "Tell me about leases.|What are leases?|How does a lease work?",
        "A lease is the only way to use a model: it waits until the model is loaded and there is room, and keeps the model "
        "loaded until you are done.",
        "lease|loaded",
    ),
    _topic(
        "When are models unloaded?|What is the TTL?|What happens to idle models?|How long does a model stay loaded?|"
        "Are models unloaded by themselves?|What does TTL mean?|What is a model's TTL?|Does lmbridge free memory by itself?|"
        "Explain the TTL.|What happens when a model is not used?",
        "Tell me about the TTL.|When does an idle model leave the memory?|How long do models stay in memory?",
        "Idle models are unloaded after their TTL, the time to live. A leased model is never unloaded.",
        "TTL|unloaded",
    ),
    _topic(
        "Does lmbridge work offline?|Is my data safe?|Does anything leave my computer?|Is it private?|Do I need the internet?|"
        "Does lmbridge send data anywhere?|Is lmbridge private?|Can I use it without internet?|Where does my text go?|"
        "Is lmbridge local?|Does it need a cloud?",
        "Will my data stay on my computer?|Can lmbridge work without the internet?|How private is lmbridge?",
        "Yes, lmbridge works offline: the models run on your own computer, and your text stays there.",
        "your own computer",
    ),
    _topic(
        "What is the licence?|Is lmbridge free?|Which license does lmbridge have?|Is lmbridge open source?|"
        "What does lmbridge cost?|May I use it at work?|What is your licence?|license",
        "How is lmbridge licensed?|Is it free to use?|Under which licence is this model?",
        "lmbridge and this little model are free to use, under the Apache 2.0 licence.",
        "Apache",
    ),
    _topic(
        "What is a hub?|What is the hub?|What are doors?|What is a door?|What is a provider?|Explain hub and doors.|"
        "How is lmbridge built?|What does one hub, many doors mean?|What are providers?|How does lmbridge work?|"
        "Explain the architecture.|How does lmbridge work inside?",
        "Tell me about the hub.|What do you call a door?|What does provider mean here?",
        "A provider is a place where models run, such as LM Studio. A door is a way in, such as the terminal or HTTP. The hub "
        "in the middle joins them.",
        "provider|door|hub",
    ),
    _topic(
        "Can models call tools?|Does lmbridge support tools?|What is tool calling?|How do tools work?|"
        "Does lmbridge support function calling?|Can you call tools?|Can you use functions?|Explain tool calling.|"
        "What is function calling?",
        "Tell me about tool calls.|How does tool calling work?|Are tools supported?",
        "Yes. Send `tools` with a chat request: the model answers with a tool call, your program runs it and sends the result "
        "back. Even I can do that.",
        "tools",
    ),
    _topic(
        "How do I install lmbridge?|How do I get lmbridge?|Installation|How can I download lmbridge?|"
        "What do I need to install?|Which command installs lmbridge?|How do I set up lmbridge?|pip install?",
        "How can I install it?|Tell me how to install lmbridge.|What is the command to install lmbridge?",
        "Install it with `pip install lmbridge`, then try `lmbridge chat`.",
        "pip install lmbridge",
    ),
    _topic(
        "What is streaming?|Can I stream the answer?|Does lmbridge stream?|How do I get the answer word by word?|"
        "Does the gateway support streaming?|Are answers streamed?|How does streaming work?",
        "Is streaming supported?|Tell me about streaming.|Can I see the answer as it is written?",
        'Yes, answers are streamed: in the chat as you watch, and over HTTP with `"stream": true`.',
        "stream",
    ),
    _topic(
        "What is MCP?|Does lmbridge support MCP?|Is there a browser extension?|Can I use it in the browser?|"
        "Does it work in a browser?|Can I use lmbridge with MCP?|How do browsers reach lmbridge?|Which doors are there?|"
        "What are the doors?|Who can use the models?",
        "Tell me which doors there are.|Can a browser use my models?|Is MCP supported?",
        "lmbridge has many doors: Python, the terminal, HTTP for OpenAI clients, browsers through native messaging, and MCP.",
        "Python|MCP",
    ),
    _topic(
        "Can I use Ollama?|Does it work with vLLM?|Can I use a cloud model?|Does lmbridge work with other servers?|"
        "Which runtimes are supported?|Can I use other OpenAI-compatible servers?|Does lmbridge support Ollama?|"
        "Can I add another server?|Which providers are there?",
        "Is Ollama supported?|Tell me which providers there are.|Can lmbridge use another server?",
        "lmbridge works with LM Studio, its own embedded engine, and any OpenAI-compatible server, such as Ollama or vLLM.",
        "OpenAI-compatible|Ollama",
    ),
)

FRAMES = Wordings(
    train=(
        "Please tell me: {q}",
        "Hi! {q}",
        "Hello, {q}",
        "Quick question: {q}",
        "And {q}",
        "OK. {q}",
        "I wonder: {q}",
        "One more thing: {q}",
        "Thanks! {q}",
        "{q} Please be short.",
        "{q} Thanks!",
        "Sorry, {q}",
    ),
    held_out=("I have a question: {q}", "Hey, {q}", "Good. {q}", "Next: {q}"),
    more=[
        "Well, {q}",
        "So, {q}",
        "Tell me: {q}",
        "Good morning. {q}",
        "Now: {q}",
        "My question: {q}",
        "Excuse me, {q}",
        "A question: {q}",
        "I would like to know: {q}",
        "Great. {q}",
        "Then: {q}",
        "{q} I am new here.",
        "{q} Thank you.",
    ],
)


def worn(text: str, source: Source) -> str:
    """*text* as people type it: framed, in small letters, without its mark."""
    if source.chance(0.18):
        framed = source.phrase(FRAMES)
        text = framed.format(
            q=text if framed.startswith("{q}") or source.chance(0.5) else text[0].lower() + text[1:]
        )
    if source.chance(0.15):
        text = text.rstrip("?.!")
    if source.chance(0.12):
        text = text.lower()
    return text


def about(source: Source) -> Conversation:
    """One question about lmbridge."""
    topic = TOPICS[0] if source.chance(0.05) else source.pick(TOPICS)
    question = worn(source.phrase(topic.asks), source)
    return Conversation("about", [user(question), assistant(source.pick(topic.answers))], keywords=topic.keywords)
