"""The page that shows an OpenAPI document and tries it, with a policy that lets nothing run but this."""

from __future__ import annotations

import base64
import hashlib
import html
import json

from fastapi import FastAPI
from starlette.responses import HTMLResponse

from runpod_emulator.http.shield import POLICY

FILES = "/static-offline-docs"
"""Where `fastapi-offline` serves the files of Swagger UI."""
_START = """
window.ui = SwaggerUIBundle({
    url: %s,
    dom_id: "#swagger-ui",
    layout: "BaseLayout",
    deepLinking: true,
    showExtensions: true,
    showCommonExtensions: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
})
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<title>{title}</title>
<link rel="stylesheet" href="{files}/swagger-ui.css">
<link rel="icon" href="{files}/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{files}/swagger-ui-bundle.js"></script>
<script>{start}</script>
</body>
</html>
"""


def add_page(app: FastAPI, prefix: str = "") -> None:
    """Serve the page of an application that is reached below `prefix`, at `/docs` in there."""
    start = _START % json.dumps(f"{prefix}{app.openapi_url}")
    page = _PAGE.format(title=html.escape(app.title), files=f"{prefix}{FILES}", start=start)
    headers = {POLICY: _policy(start)}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers=headers)


def _policy(script: str) -> str:
    """Scripts from here and the one in the page, and calls to here."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{digest}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
