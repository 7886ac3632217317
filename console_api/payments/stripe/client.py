"""The client, and Stripe's errors as the port's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import stripe

from console_api.payments.port import Refused, Unavailable
from kit.settings import StripeSettings

log = logging.getLogger(__name__)

_MAX_TEXT = 300


def connect(settings: StripeSettings) -> tuple[stripe.StripeClient, stripe.AIOHTTPClient]:
    """Return the client and its connections, which are to be closed."""
    # Below that level the library logs what it sends, which names buyers, and a part of a wrong key.
    logging.getLogger("stripe").setLevel(logging.WARNING)
    timeout = aiohttp.ClientTimeout(total=settings.timeout_ms / 1000)
    connections = stripe.AIOHTTPClient(timeout=timeout)
    client = stripe.StripeClient(
        settings.api_key.get_secret_value(),
        http_client=connections,
        max_network_retries=settings.max_retries,
        base_addresses={"api": settings.api_base.rstrip("/")},
    )
    return client, connections


@contextmanager
def errors_told() -> Iterator[None]:
    """Raise `Unavailable` for what may pass and `Refused` for what will not. A `CardError` is left alone."""
    try:
        yield
    except stripe.CardError:
        raise
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # Its message quotes a part of the key.
        log.error("Stripe refuses our key", extra={"status": error.http_status, "request": error.request_id})
        raise Refused("Stripe refuses our key; check RUNMETER_STRIPE_API_KEY.") from None
    except (stripe.APIConnectionError, stripe.RateLimitError, stripe.APIError) as error:
        raise Unavailable(f"Stripe did not answer ({type(error).__name__})") from error
    except stripe.StripeError as error:
        text = (error.user_message or "no reason given")[:_MAX_TEXT]
        raise Refused(f"Stripe refused: {text}") from error
    except (aiohttp.ClientError, OSError) as error:
        # Reading an answer is not translated by the client.
        raise Unavailable(f"Stripe did not answer ({type(error).__name__})") from error
