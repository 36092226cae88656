"""Write the model card that comes with the package: the text of ``card.md`` and the scores of ``scores.json``.

python -m models.card
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from models.evaluate import SCORES
from models.places import BUILTIN, CHAT_MODEL, EMBEDDING_MODEL

TEXT = Path(__file__).with_name("card.md")
CARD = BUILTIN / "MODEL_CARD.md"


def percent(right: int, of: int) -> str:
    """A share, with what it was counted from; 100 only where nothing is missing."""
    share = min(100 * right / of, 99.9 if right < of else 100)
    return f"{share:.1f} % ({right} of {of})" if 99 < share < 100 else f"{share:.0f} % ({right} of {of})"


def table(head: str, scores: Mapping[str, Mapping[str, int]]) -> str:
    """A row per category; where calls were asked for, also how often the right tool was chosen."""
    rows = [f"| {head} | right |", "|---|---|"]
    for name, counts in scores.items():
        right = percent(counts["right"], counts["tasks"])
        if "chosen" in counts:
            right += f"; right tool chosen {percent(counts['chosen'], counts['tasks'])}"
        rows.append(f"| {name} | {right} |")
    return "\n".join(rows)


def stopped(scores: Mapping[str, Mapping[str, int]]) -> str:
    """How many answers came to an end by themselves."""
    return percent(
        sum(each["stopped"] for each in scores.values()), sum(each["tasks"] for each in scores.values())
    )


def megabytes(path: Path) -> str:
    """A file's size."""
    return f"{path.stat().st_size / 1e6:.1f} MB"


def card() -> str:
    """The whole text."""
    scores = json.loads(SCORES.read_text(encoding="utf-8"))
    blanks = {
        "CHAT_SIZE": megabytes(CHAT_MODEL),
        "EMBED_SIZE": megabytes(EMBEDDING_MODEL),
        "CHAT_SCORES": table("lmbridge-tiny: task", scores["chat"]),
        "STOPPED": stopped(scores["chat"]),
        "EMBED_SCORES": table("lmbridge-tiny-embed: sentences from", scores["embed"]),
    }
    text = TEXT.read_text(encoding="utf-8")
    for name, value in blanks.items():
        text = text.replace(f"[{name}]", value)
    return text


def main() -> None:
    """Write the card."""
    CARD.write_text(card(), encoding="utf-8")
    print(CARD)


if __name__ == "__main__":
    main()
