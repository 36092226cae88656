"""Tiers: names for models by what they are good for, which settings give to models of a provider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

from lmbridge.core.provider import Setting

Tier: TypeAlias = Literal["fast", "standard", "premium"]

TIERS: tuple[Tier, ...] = get_args(Tier)


def tier_settings() -> tuple[Setting, ...]:
    """The settings of a provider that gives names to its models; all may stay unset."""
    return (
        Setting("model", "string", "The model for who names none; of a cloud, for who names its provider.", ""),
        *(Setting(tier, "string", f"The model that the name `{tier}` stands for.", "") for tier in TIERS),
        Setting("embedding_model", "string", "The embedding model for who names none.", ""),
    )


def names_of(settings: Mapping[str, str]) -> dict[str, str]:
    """The names that the values of those settings give (`Namer.names`), unset ones left out."""
    told = {"chat": settings.get("model", ""), "embedding": settings.get("embedding_model", "")}
    told |= {tier: settings.get(tier, "") for tier in TIERS}
    return {name: model for name, model in told.items() if model}
