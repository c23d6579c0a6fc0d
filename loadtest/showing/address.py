"""Where our page is found beside Locust's: said when the pages come up, and linked from Locust's own."""

from __future__ import annotations

from typing import Any

from contract.progress import say
from loadtest.showing.page import Page

NAME = "slo"
TITLE = "Exact percentiles and the objective, live"
EVERYWHERE = ("", "*", "0.0.0.0", "::")  # noqa: S104 - nothing is bound here


def show(page: Page, web_ui: Any, options: Any) -> None:
    """Add ``page`` to Locust's pages (locust.web.WebUI) and say its address; ``options`` are Locust's."""
    path = f"{options.web_base_path}/{NAME}"
    # Whoever has Locust ask for a login (--web-login) means this page, too.
    web_ui.app.add_url_rule(path, NAME, web_ui.auth_required_if_enabled(page.html))
    # Of Locust's places for what others add, the only one that takes a link: the tab of its downloads.
    web_ui.template_args["extended_csv_files"] = [{"href": path, "title": TITLE}]
    say(f"{TITLE}: {address(options)}")


def address(options: Any) -> str:
    """Of our page, as somebody on this machine opens it."""
    scheme = "https" if options.tls_cert and options.tls_key else "http"
    host = "127.0.0.1" if options.web_host in EVERYWHERE else options.web_host
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}:{options.web_port}{options.web_base_path}/{NAME}"
