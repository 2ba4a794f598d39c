"""The built portal (webui/dist): its pages and files, with caching and a content security policy."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from control.config import ROOT

DIST = ROOT / "webui" / "dist"
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Scripts only from here. Styles may be inline: the API reference sets style attributes."""
FOR_EVER = "public, max-age=31536000, immutable"
AFRESH = "no-cache"

MISSING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Veche</title></head><body>
<h1>The portal is not built</h1>
<p>The server runs, and so does its API: <a href="/api/v1/openapi.json">/api/v1/openapi.json</a>.</p>
<p>The portal's files are missing in <code>webui/dist</code>. <code>./veche run</code> builds them when Node.js and
npm are there; by hand: <code>cd webui &amp;&amp; npm ci &amp;&amp; npm run build</code>.</p>
</body></html>
"""


class Pages:
    """The portal's files out of one folder."""

    def __init__(self, dist: Path = DIST) -> None:
        self._dist = dist

    def add_to(self, router: web.UrlDispatcher) -> None:
        router.add_get("/api/v1/docs", self._docs)
        router.add_get("/{path:(?!api/).*}", self._file)

    async def _docs(self, request: web.Request) -> web.StreamResponse:
        return self._page("docs.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """A file of the build; any other address a browser asks a page of is the portal's own to show."""
        path = request.match_info["path"]
        file = (self._dist / path).resolve()
        if path and file.is_file() and file.is_relative_to(self._dist.resolve()):
            if file.suffix == ".html":
                return self._page(path)
            # the build puts a hash of the content into the names under assets/
            return web.FileResponse(file, headers={"Cache-Control": FOR_EVER if path.startswith("assets/") else AFRESH})
        if path and (Path(path).suffix or "text/html" not in request.headers.get("Accept", "")):
            raise web.HTTPNotFound
        return self._page("index.html")

    def _page(self, name: str) -> web.StreamResponse:
        file = self._dist / name
        headers = {"Cache-Control": AFRESH, "Content-Security-Policy": POLICY}
        if file.is_file():
            return web.FileResponse(file, headers=headers)
        return web.Response(status=503, text=MISSING, content_type="text/html", headers=headers)
