"""The colours: one dark and one light theme of our own, beside Textual's."""

from __future__ import annotations

from textual.theme import Theme

DARK = "medback-dark"
LIGHT = "medback-light"

THEMES = (
    Theme(
        name=DARK,
        primary="#7aa2d8",
        secondary="#8f9bb3",
        accent="#e0af68",
        foreground="#d6dae3",
        background="#12151c",
        surface="#181c25",
        panel="#232935",
        success="#7fbf7f",
        warning="#e5b567",
        error="#f07178",
        variables={
            "here": "#5fc4cf",
            "block-cursor-background": "#2d3a52",
            "block-cursor-foreground": "#ffffff",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#232b3a",
            "border": "#3b4456",
            "border-blurred": "#2a3140",
            "input-selection-background": "#7aa2d8 35%",
        },
    ),
    Theme(
        name=LIGHT,
        primary="#2458a6",
        secondary="#5b6578",
        accent="#9a5b00",
        foreground="#1d2330",
        background="#fafaf7",
        surface="#f2f2ee",
        panel="#e4e5e2",
        success="#2e7d32",
        warning="#9a6700",
        error="#b3261e",
        dark=False,
        variables={
            "here": "#00707a",
            "block-cursor-background": "#cfdcf2",
            "block-cursor-foreground": "#10141c",
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": "#e2e6ee",
            "border": "#b9bdc6",
            "border-blurred": "#d5d8de",
        },
    ),
)
