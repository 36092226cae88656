"""LM Studio without `async`: see whether it is there, start it, ask it, stop it."""

from lmbridge import ChatMessage, InferenceSettings, LMStudioManager, MessageRole


def show(token: str, tokens_per_second: float | None, count: int) -> None:
    print(token, end="", flush=True)


def main() -> None:
    with LMStudioManager() as manager:
        status = manager.get_status()
        print(f"{status.state} at {status.api_endpoint}; {status.command or 'nothing to mend'}")
        manager.ensure_server_running()
        model = next(model for model in manager.fetch_models() if model.kind == "chat")
        manager.load_model(model.key, context_length=8192)
        manager.proxy_chat_completion(
            [ChatMessage(role=MessageRole.USER, content="Hello")],
            InferenceSettings(temperature=0.2, max_new_tokens=100),
            stream_callback=show,
        )
        print(f"\nanswered by {manager.get_status()['current_model']}")
        manager.stop_server()


if __name__ == "__main__":
    main()
