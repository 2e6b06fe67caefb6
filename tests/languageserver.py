"""The YAML language server that editors use, spoken to as an editor does: by JSON-RPC over its standard input."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

VERSION = "1.25.0"
FOLDER = Path(os.environ.get("PHINOPS_NODE_FOLDER", Path(__file__).parent.parent / ".venv" / "node"))
"""Where `npm install --prefix` has put the server; .ci/run does so."""

SERVER = FOLDER / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"

_SETTINGS: Mapping[str, Any] = {
    "yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}},
}


def missing() -> str:
    """Why there is no server to speak to, or ""."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not SERVER.is_file():
        return f"no language server: npm install --prefix {FOLDER} yaml-language-server@{VERSION}"
    return ""


class LanguageServer:
    """One running server. Documents are opened once and stay as they are."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._diagnostics: dict[str, asyncio.Future[list[dict[str, Any]]]] = {}

    async def open(self, file: Path, text: str) -> None:
        """Open the document as an editor that has `text` in its window."""
        document = {"uri": file.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._diagnostics[file.as_uri()] = asyncio.get_running_loop().create_future()
        await self._notify("textDocument/didOpen", {"textDocument": document})

    async def diagnostics(self, file: Path) -> list[dict[str, Any]]:
        """What the server marks as wrong in an open document."""
        return await self._diagnostics[file.as_uri()]

    async def completions(self, file: Path, line: int, column: int) -> dict[str, dict[str, Any]]:
        """What is offered at a place, counted from 0, by label."""
        found = await self._ask("textDocument/completion", file, line, column)
        items = found["items"] if isinstance(found, dict) else found or []
        return {item["label"]: item for item in items}

    async def hover(self, file: Path, line: int, column: int) -> str:
        """What is shown over a place, counted from 0; "" for nothing."""
        found = await self._ask("textDocument/hover", file, line, column)
        return found["contents"]["value"] if found else ""

    async def _ask(self, method: str, file: Path, line: int, column: int) -> Any:
        place = {"textDocument": {"uri": file.as_uri()}, "position": {"line": line, "character": column}}
        return await self.request(method, place)

    async def request(self, method: str, params: Any) -> Any:
        """The result of a request."""
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        await self._send({"id": self._last, "method": method, "params": params})
        return await answer

    async def _notify(self, method: str, params: Any) -> None:
        await self._send({"method": method, "params": params})

    async def start(self, root: Path) -> None:
        """The handshake, as an editor whose window shows the folder."""
        text = {"completion": {"completionItem": {"snippetSupport": True, "documentationFormat": ["markdown"]}}}
        capabilities = {"textDocument": text, "workspace": {"configuration": True}}
        folders = [{"uri": root.as_uri(), "name": root.name}]
        await self.request(
            "initialize",
            {"processId": None, "rootUri": root.as_uri(), "workspaceFolders": folders, "capabilities": capabilities},
        )
        await self._notify("initialized", {})
        await self._notify("workspace/didChangeConfiguration", {"settings": _SETTINGS})

    async def listen(self) -> None:
        """Take in what the server says until it ends."""
        while (message := await self._receive()) is not None:
            if "method" not in message:
                self._answers.pop(message["id"]).set_result(message.get("result"))
            elif "id" in message:
                await self._send({"id": message["id"], "result": _answer(message["method"], message.get("params"))})
            elif message["method"] == "textDocument/publishDiagnostics":
                waiting = self._diagnostics.get(message["params"]["uri"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(message["params"]["diagnostics"])

    async def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await self._process.stdin.drain()

    async def _receive(self) -> Any:
        assert self._process.stdout is not None
        length = 0
        while line := (await self._process.stdout.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return json.loads(await self._process.stdout.readexactly(length)) if length else None


def _answer(method: str, params: Any) -> Any:
    """What an editor answers: its settings, and nothing to all else."""
    if method == "workspace/configuration":
        return [_SETTINGS.get(item["section"]) for item in params["items"]]
    return None


@asynccontextmanager
async def language_server(root: Path) -> AsyncIterator[LanguageServer]:
    """A server that has begun, for an editor that shows the folder."""
    process = await asyncio.create_subprocess_exec(
        "node", str(SERVER), "--stdio", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    server = LanguageServer(process)
    listening = asyncio.create_task(server.listen())
    try:
        await server.start(root)
        yield server
    finally:
        process.kill()
        await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
