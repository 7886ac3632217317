"""The design language: every colour, size and font of the console, for light and dark.

Contrast of text on its surface is at least 4.5:1, of graphics 3:1 (WCAG 2.2 AA); a test computes it.
"""

from __future__ import annotations

LIGHT: dict[str, str] = {
    "page": "#f6f7f9",
    "surface": "#ffffff",
    "raised": "#eef0f4",
    "line": "#dfe3ea",
    "control": "#7b8494",
    "ink": "#161b26",
    "muted": "#566072",
    "brand": "#4338ca",
    "on-brand": "#ffffff",
    "brand-soft": "#ecebfb",
    "good": "#0f7a4d",
    "good-soft": "#e1f5eb",
    "warn": "#8f5400",
    "warn-soft": "#fdf0d5",
    "bad": "#b42333",
    "bad-soft": "#fde8ea",
    "chart-1": "#4f46e5",
    "chart-2": "#0d9488",
    "chart-3": "#d97706",
    "chart-4": "#dc2f45",
    "chart-5": "#7b8494",
    "shadow": "0 1px 2px rgb(22 27 38 / 5%)",
    "shadow-large": "0 12px 40px rgb(22 27 38 / 18%), 0 2px 8px rgb(22 27 38 / 8%)",
    "sidebar-page": "#fbfbfd",
    "code": "#f3f4f8",
    "danger": "#b42333",
    "on-danger": "#ffffff",
}

DARK: dict[str, str] = {
    "page": "#0e1117",
    "surface": "#171b24",
    "raised": "#212734",
    "line": "#2b3241",
    "control": "#78839a",
    "ink": "#eceff5",
    "muted": "#a3adbf",
    "brand": "#a5a3ff",
    "on-brand": "#12142b",
    "brand-soft": "#26284a",
    "good": "#4fd19a",
    "good-soft": "#12352a",
    "warn": "#f2b65c",
    "warn-soft": "#3a2c12",
    "bad": "#ff8a96",
    "bad-soft": "#43202a",
    "chart-1": "#8b86ff",
    "chart-2": "#2dc4b2",
    "chart-3": "#f0a03c",
    "chart-4": "#ff6b7d",
    "chart-5": "#8b95a9",
    "shadow": "0 1px 2px rgb(0 0 0 / 40%)",
    "shadow-large": "0 12px 40px rgb(0 0 0 / 60%), 0 0 0 1px rgb(255 255 255 / 6%)",
    "sidebar-page": "#12151d",
    "code": "#10141c",
    "danger": "#ff8a96",
    "on-danger": "#2b0a10",
}

SCALE: dict[str, str] = {
    "font": 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, Cantarell, sans-serif',
    "mono": 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace',
    "radius": "12px",
    "radius-small": "8px",
    "gap": "16px",
    "width": "1180px",
    "sidebar": "236px",
    "text-small": "0.8125rem",
    "text": "0.9063rem",
    "text-large": "1.0625rem",
}


def stylesheet() -> str:
    """Return the tokens as custom properties: light, dark by system, and either by choice."""

    def block(selector: str, tokens: dict[str, str], scheme: str = "") -> str:
        body = "".join(f"--{name}:{value};" for name, value in tokens.items())
        return f"{selector}{{{body}{f'color-scheme:{scheme};' if scheme else ''}}}"

    return "\n".join(
        (
            block(":root", {**SCALE, **LIGHT}, "light"),
            # Before the page's scripts ran, and while the choice is to follow the system.
            f"@media (prefers-color-scheme: dark){{{block(':root', DARK, 'dark')}}}",
            block("body.body--light", LIGHT, "light"),
            block("body.body--dark", DARK, "dark"),
        )
    )
