"""The control plane, those who sign people in and collect money, and the console."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings.base import Settings


class ConsoleApiSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONSOLE_API_")
    host: str = "127.0.0.1"
    port: int = Field(default=18083, ge=0, le=65_535)
    #: Browser origins whose scripts may read answers, comma-separated; none by default.
    allowed_origins: str = ""
    live_interval_ms: int = Field(default=250, ge=50, le=10_000)
    live_max_lifetime_s: int = Field(default=900, ge=1, le=86_400)
    live_heartbeat_s: int = Field(default=10, ge=1, le=300)
    live_max_streams: int = Field(default=500, ge=1, le=100_000)


class SecretsSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SECRETS_")
    #: Fernet keys that stored credentials are sealed with, comma-separated. The first seals, all open.
    #: Empty: one key, made on first use, in `secrets.key` in the data folder. Set it in production.
    keys: SecretStr = SecretStr("")


class ControlSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONTROL_")
    #: Opens the introspection of every tenant's API keys. Empty: only tenants' tokens do, for their own.
    service_token: SecretStr = SecretStr("")
    #: Introspections that one process answers: the services' together, and each tenant's. Wrong tokens have a
    #: tenth of it, all together.
    introspections_per_minute: int = Field(default=6_000, ge=10, le=10_000_000)
    #: How often the outbox is looked at for what other processes wrote; own changes go out at once.
    relay_poll_ms: int = Field(default=200, ge=10, le=60_000)
    relay_batch: int = Field(default=200, ge=1, le=5_000)
    #: How long a relay that died silently holds up the others (SQLite only).
    lease_ms: int = Field(default=5_000, ge=500, le=600_000)
    outbox_keep_s: int = Field(default=7 * 86_400, ge=60)
    #: All projections are written again this often, and whenever Redis was restarted.
    project_every_s: int = Field(default=600, ge=1, le=86_400)
    collect_last_used_every_s: int = Field(default=5, ge=1, le=86_400)
    #: Every tenant is reconciled this often without being asked; 0: only when an operator asks.
    reconcile_every_s: int = Field(default=6 * 3_600, ge=0, le=30 * 86_400)


class WebhookSettings(Settings):
    """What payment providers tell us."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_WEBHOOKS_")
    #: Verified deliveries of one provider that one process takes; more are told to come again.
    max_per_minute: int = Field(default=1_200, ge=1, le=1_000_000)
    #: A delivery about something unknown yet is told again this often, and given up after that long.
    retell_every_s: int = Field(default=30, ge=1, le=86_400)
    early_for_s: int = Field(default=3 * 86_400, ge=60, le=90 * 86_400)
    #: Payloads name buyers; what was done with is kept without its payload after this.
    keep_payloads_days: int = Field(default=30, ge=1, le=3_650)


class OidcSettings(Settings):
    """Who signs people in. With Keycloak: its realm, and a client with the audience in its tokens."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_OIDC_")
    #: As in the tokens' `iss`, e.g. `https://sso.example.com/realms/market`. Empty: nobody signs in by OIDC.
    issuer: str = ""
    #: What the tokens' `aud` (or `azp`) has to name.
    audience: str = "runmeter"
    #: Whose people they are; with a claim, each token says it, e.g. in `tenant`.
    tenant_id: str = ""
    tenant_claim: str = ""
    #: Where the tokens list roles, and which of them makes an operator of the tenant.
    roles_claim: str = "realm_access.roles"
    operator_role: str = "runmeter-operator"
    #: Which of them looks at the whole tenant, and its history by SQL, and changes nothing. Empty: none.
    analyst_role: str = "runmeter-analyst"
    #: By how much two clocks may differ.
    leeway_s: int = Field(default=60, ge=0, le=600)
    timeout_ms: int = Field(default=5_000, ge=100, le=60_000)
    #: How long the issuer's public keys are believed, and how often they are asked for at most.
    keys_ttl_s: int = Field(default=3_600, ge=10, le=86_400)
    keys_refresh_s: int = Field(default=10, ge=1, le=3_600)


class PaymentsSettings(Settings):
    """How buying goes, whoever collects the money."""

    model_config = SettingsConfigDict(env_prefix="RUNMETER_PAYMENTS_")
    #: Orders can be paid by saying so, without money. For trying out only.
    dummy: bool = False
    #: Where buyers come back to from a checkout.
    return_url: str = "http://127.0.0.1:18084/account/orders"
    #: For how long an instance goes on running after a payment failed.
    grace_s: int = Field(default=7 * 86_400, ge=0, le=90 * 86_400)
    #: Time alone ends periods and graces, and drips credits: how often that is looked at.
    settle_every_s: int = Field(default=60, ge=1, le=86_400)


class StripeSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_STRIPE_")
    #: A secret or restricted key. Empty: no Stripe.
    api_key: SecretStr = SecretStr("")
    #: The tenant whose operators see what this account delivers. Empty: nobody; it may be several tenants'.
    tenant_id: str = ""
    #: Signing secrets of the webhook endpoint, comma-separated: the new one and the old while they rotate.
    webhook_secrets: SecretStr = SecretStr("")
    #: How old a signed delivery may be.
    webhook_tolerance_s: int = Field(default=300, ge=10, le=86_400)
    api_base: str = "https://api.stripe.com"
    timeout_ms: int = Field(default=10_000, ge=100, le=120_000)
    max_retries: int = Field(default=2, ge=0, le=10)


class SaleorSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_SALEOR_")
    #: The shop, e.g. `https://shop.example.com`; its webhooks must name it. Empty: no Saleor.
    url: str = ""
    #: The tenant that this shop sells for.
    tenant_id: str = ""
    #: Only for a webhook that still has a secret key, which Saleor signs with HMAC instead of its RSA key.
    webhook_secret: SecretStr = SecretStr("")
    timeout_ms: int = Field(default=5_000, ge=100, le=60_000)
    #: How long the shop's public keys are believed, and how often they are asked for at most.
    keys_ttl_s: int = Field(default=3_600, ge=10, le=86_400)
    keys_refresh_s: int = Field(default=30, ge=1, le=3_600)


class ConsoleSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="RUNMETER_CONSOLE_")
    host: str = "127.0.0.1"
    port: int = Field(default=18084, ge=0, le=65_535)
    api_url: str = "http://127.0.0.1:18083"
    #: Signs every visitor in as this token's owner. For development on loopback only.
    access_token: SecretStr = SecretStr("")
    #: Where visitors reach the console. Needed with an issuer, who returns to `<base_url>/sign-in/callback`.
    base_url: str = ""
    #: Where agents answer, as quick starts name it and the test chat calls it.
    gateway_url: str = "http://127.0.0.1:18080"
    #: An OpenID Connect issuer. Empty: visitors sign in with an access token.
    oidc_issuer: str = ""
    oidc_client_id: str = "runmeter-console"
    oidc_scope: str = "openid profile email offline_access"
