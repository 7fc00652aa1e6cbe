"""How do people read the OpenAPI document? `/docs`: Swagger UI, of one version whose bytes the browser checks."""

from __future__ import annotations

import base64
import hashlib

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

FROM = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0/"
SCRIPT, SCRIPT_SHA = (
    f"{FROM}swagger-ui-bundle.js",
    "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9",
)
STYLE, STYLE_SHA = (
    f"{FROM}swagger-ui.css",
    "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I",
)

_START = """
window.SwaggerUIBundle
  ? SwaggerUIBundle({url: "api/v1/openapi.json", dom_id: "#docs", deepLinking: true})
  : document.getElementById("docs").append("Swagger UI could not be loaded. The document itself: ",
      Object.assign(document.createElement("a"), {href: "api/v1/openapi.json", textContent: "openapi.json"}))
"""
_PAGE = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>ML Guard: the API</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="{STYLE}" integrity="{STYLE_SHA}" crossorigin="anonymous"></head>
<body><div id="docs"></div>
<script src="{SCRIPT}" integrity="{SCRIPT_SHA}" crossorigin="anonymous"></script>
<script>{_START}</script></body></html>
"""
POLICY = "; ".join(
    (
        "default-src 'none'",
        f"script-src {SCRIPT} 'sha256-{base64.b64encode(hashlib.sha256(_START.encode()).digest()).decode()}'",
        f"style-src {STYLE} 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""A key is typed into this page, so it runs these two scripts and speaks to this server only."""


@router.get("/docs", include_in_schema=False)
async def read_docs() -> HTMLResponse:
    """The page."""
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": POLICY})
