"""Which of Gradio's paths the server answers on: what the page and API clients use, and no other.

Among the others are some that hand out files, an upload to whoever knows its path too, and that
fetch any address for whoever asks.
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
_KNOWN = re.compile(rf"/(({_PAGE}|gradio_api/({_API}))(/.*)?)?", re.DOTALL)


class KnownPaths:
    """ASGI middleware that answers 404 in place of what the page does not use."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _KNOWN.fullmatch(scope["path"])):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": b"there is nothing here\n"})
        else:
            await send({"type": "websocket.close", "code": 1008})
