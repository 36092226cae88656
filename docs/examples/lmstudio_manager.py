"""The program LM Studio, for code without `async`: see what state it is in, start it, ask it, stop it."""

from lmbridge import ChatMessage, InferenceSettings, LMStudioManager, MessageRole


def show(piece: str, pieces_per_second: float | None, count: int) -> None:
    print(piece, end="", flush=True)


def main() -> None:
    with LMStudioManager() as manager:
        status = manager.get_status()
        print(status.state, "-", status.detail)
        if status.installed and not status.server_running:
            manager.ensure_server_running()
        status = manager.get_status()
        print(status["api_endpoint"], status["current_model"], status["started_by_us"])

        messages = [ChatMessage(role=MessageRole.USER, content="Hello")]
        settings = InferenceSettings(temperature=0.2, max_new_tokens=100)
        answer = manager.proxy_chat_completion(
            messages, settings, stream_callback=show, model="qwen/qwen3-4b-2507"
        )
        print(f"\n{len(answer)} characters")
        manager.stop_server()
        print("running:", manager.get_status().server_running)


if __name__ == "__main__":
    main()
