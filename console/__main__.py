"""`python -m console`: serve the console until SIGTERM."""

from __future__ import annotations

from nicegui import ui

from console.app import build, is_loopback
from console.session_files import COOKIE_S, session_secret
from kit import logs
from kit.keep_alive import KEEP_ALIVE_S
from kit.settings import ConsoleSettings, StackSettings, load

_FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><defs><linearGradient id="g" x2="1" y2="1">'
    '<stop stop-color="#4f46e5"/><stop offset="1" stop-color="#0d9488"/></linearGradient></defs>'
    '<rect width="32" height="32" rx="8" fill="url(#g)"/>'
    '<path d="M7 21l6-8 5 5 7-9" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>'
)


def main() -> None:
    settings, stack = load(ConsoleSettings), load(StackSettings)
    logs.configure("console", stack.log_level)
    sessions_dir = (stack.data_dir / "console").resolve()
    build(settings, sessions_dir)
    ui.run(
        host=settings.host,
        port=settings.port,
        title="Runmeter",
        favicon=_FAVICON,
        dark=None,
        language="en-US",
        tailwind=False,
        reload=False,
        show=False,
        show_welcome_message=False,
        # A page repeats nothing older than this many messages after a lost connection; else it reloads.
        message_history_length=120,
        reconnect_timeout=10.0,
        storage_secret=session_secret(sessions_dir),
        session_middleware_kwargs={
            "session_cookie": "runmeter_session",
            "max_age": COOKIE_S,
            "same_site": "lax",
            # Browsers count localhost as secure; any other address must be served over TLS.
            "https_only": settings.base_url.startswith("https:") or not is_loopback(settings.host),
        },
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=3,
    )


if __name__ in {"__main__", "__mp_main__"}:
    main()
