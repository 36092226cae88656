"""The same without `async`."""

import lmbridge


def main() -> None:
    with lmbridge.sync.connect() as hub:
        for model in hub.models():
            print(model.id, model.kind, model.context_length)
        with hub.chat(lmbridge.ChatRequest("lmbridge-tiny", "Hello")) as events:
            for event in events:
                print(event)


if __name__ == "__main__":
    main()
