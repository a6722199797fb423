"""Allow only those of Gradio's paths that the page and API clients use.

Other paths of Gradio send files, including uploads, to anyone who knows their path, and download any
URL for anyone.
"""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PAGE = "assets|config|favicon.ico|login|logout|manifest.json|robots.txt|static|svelte|theme.css"
_API = (
    "app_id|call|cancel|heartbeat|info|login_check|openapi.json|queue|reset|startup-events|theme.css|token|upload"
    "|upload_progress|user"
)
_ALLOWED = re.compile(rf"/(({_PAGE}|gradio_api/({_API}))(/.*)?)?", re.DOTALL)


class AllowedPaths:
    """ASGI middleware that answers 404 for all other paths."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _ALLOWED.fullmatch(scope["path"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b"not found\n"})
        else:
            await send({"type": "websocket.close", "code": 1008})
