"""Where things are: what is being built, and what comes with the package."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / ".build" / "models"
BUILTIN: Final = ROOT / "src" / "lmbridge" / "machine" / "builtin"
CHAT_MODEL: Final = BUILTIN / "lmbridge-tiny.gguf"
EMBEDDING_MODEL: Final = BUILTIN / "lmbridge-tiny-embed.gguf"
