"""Alerts: when they are looked for, how they are sent, and the server that takes the mail."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings


class AlertSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_ALERTS_")
    #: How often spending and forecasts are looked at.
    evaluate_every_s: int = Field(default=300, ge=1, le=86_400)
    #: What is older than this when it is heard is written down, but nobody is told any more.
    max_age_s: int = Field(default=86_400, ge=60, le=14 * 86_400)
    #: How often the database is looked at for messages that other processes wrote, or that are due again.
    poll_ms: int = Field(default=1_000, ge=10, le=60_000)
    #: Messages under way at once, in one process.
    batch: int = Field(default=20, ge=1, le=500)
    #: Pauses between attempts: the first, doubled each time, up to the longest; then it is given up.
    retry_min_ms: int = Field(default=30_000, ge=10, le=3_600_000)
    retry_max_ms: int = Field(default=3_600_000, ge=10, le=86_400_000)
    max_attempts: int = Field(default=10, ge=1, le=30)
    #: How long a message counts as under way. A process that died in between sends it again after that.
    lease_ms: int = Field(default=120_000, ge=1_000, le=3_600_000)
    max_channels: int = Field(default=20, ge=1, le=1_000)
    #: Pause between two tests of one channel.
    test_every_s: int = Field(default=5, ge=0, le=3_600)
    #: How long what was told is kept.
    keep_days: int = Field(default=400, ge=35, le=3_650)
    #: Where messages lead to, e.g. `https://console.example.com`. Empty: nowhere.
    console_url: str = ""
    #: How addresses of Slack's incoming webhooks begin.
    slack_hooks_url: str = "https://hooks.slack.com/"


class SmtpSettings(Settings):
    """The server that takes our mail."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_SMTP_")
    #: Empty: no mail is sent.
    host: str = ""
    port: int = Field(default=587, ge=1, le=65_535)
    #: `starttls` (587) and `tls` (465) check the server's certificate and send nothing without it.
    tls: Literal["starttls", "tls", "none"] = "starttls"
    #: A file with the certificates of a private authority. Empty: the system's.
    ca_file: str = ""
    user: str = ""
    password: SecretStr = SecretStr("")
    #: Who it is from, e.g. `Runmeter <alerts@example.com>`.
    sender: str = ""
    timeout_ms: int = Field(default=15_000, ge=100, le=120_000)
