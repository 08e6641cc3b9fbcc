"""A language server that says what a script tells it to, for tests of editors: exact texts at exact times.

    python scripted_server.py SCRIPT.json LOG.jsonl

The script is {"encoding": "utf-8", "rules": [rule, ...]}. The first rule whose `before` ends the line in front of the
cursor answers; its `replies` are used one after another, the last one from then on. A reply is {"texts": [...]}, with
`delay` (seconds before it is sent), `ready` (seconds after it until `flash-lsp/ready` is sent), `silence` (the reason
that the status gives for no texts) and `from` (the column where the items' range begins) as wanted. "commands" are the
answers to `workspace/executeCommand` by name. Every message is logged: {"event": method, ...}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

Message = dict[str, Any]

COMMANDS: Message = {"flash-lsp.stats": None, "test.accepted": None}


class ScriptedServer:
    """Serves one client on stdin and stdout."""

    def __init__(self, script: Message, log: Path) -> None:
        self._script = script
        self._log = log
        self._texts: dict[str, str] = {}
        self._used = [0] * len(script["rules"])
        self._versions: dict[str, int] = {}
        self._commands: Message = script.get("commands", COMMANDS)
        self._output = threading.Lock()

    def serve(self) -> None:
        """Answer messages until `exit`."""
        while message := self._read():
            method, params = message.get("method"), message.get("params") or {}
            if method == "exit":
                return
            if method == "initialize":
                self._note("initialize", pid=os.getpid(), capabilities=params["capabilities"])
                self._send(id=message["id"], result={"capabilities": self._capabilities()})
            elif method == "initialized":
                self._notify("flash-lsp/status", {"state": "ready", "message": ""})
            elif method in ("textDocument/didOpen", "textDocument/didChange"):
                document = params["textDocument"]
                changes = params.get("contentChanges") or [document]
                self._texts[document["uri"]] = changes[-1]["text"]
                self._versions[document["uri"]] = document["version"]
            elif method == "textDocument/inlineCompletion":
                self._complete(message["id"], params)
            elif method is not None:
                self._note(method, params=params)
                if "id" in message:
                    answer = self._commands.get(params.get("command") if isinstance(params, dict) else None)
                    self._send(id=message["id"], result=answer or {"requests": sum(self._used)})

    def _capabilities(self) -> Message:
        return {
            "positionEncoding": self._script.get("encoding", "utf-8"),
            "textDocumentSync": {"openClose": True, "change": 1},
            "inlineCompletionProvider": {},
            "executeCommandProvider": {"commands": list(self._commands)},
        }

    def _complete(self, identity: int | str, params: Message) -> None:
        position, uri = params["position"], params["textDocument"]["uri"]
        line = self._texts[uri].split("\n")[position["line"]]
        encoding = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[
            self._script.get("encoding", "utf-8")
        ]
        unit = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}[encoding]
        before = line.encode(encoding)[: position["character"] * unit].decode(encoding)
        self._note(
            "inlineCompletion", before=before, position=position, kind=params["context"]["triggerKind"]
        )
        reply = self._next_reply(before)
        start = {"line": position["line"], "character": reply.get("from", position["character"])}
        items = [
            {"insertText": text, "range": {"start": start, "end": position}, **reply.get("extra", {})}
            for text in reply["texts"]
        ]

        def answer() -> None:
            if reason := reply.get("silence"):
                self._notify("flash-lsp/status", {"state": "silent", "message": "", "reason": reason})
            self._send(id=identity, result={"items": items} if items else None)

        def announce() -> None:
            self._notify(
                "flash-lsp/ready", {"uri": uri, "version": self._versions[uri], "position": position}
            )

        delay = reply.get("delay", 0)
        threading.Timer(delay, answer).start() if delay else answer()
        if "ready" in reply:
            threading.Timer(delay + reply["ready"], announce).start()

    def _next_reply(self, before: str) -> Message:
        for index, rule in enumerate(self._script["rules"]):
            if before.endswith(rule["before"]):
                reply: Message = rule["replies"][min(self._used[index], len(rule["replies"]) - 1)]
                self._used[index] += 1
                return reply
        return {"texts": []}

    def _read(self) -> Message | None:
        length = 0
        while (line := sys.stdin.buffer.readline().strip()) or not length:
            if not line:
                return None
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message: Message = json.loads(sys.stdin.buffer.read(length))
        return message

    def _notify(self, method: str, params: Message) -> None:
        self._send(method=method, params=params)

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        with self._output:
            sys.stdout.buffer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            sys.stdout.buffer.flush()

    def _note(self, event: str, **more: Any) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps({"event": event, **more}) + "\n")


if __name__ == "__main__":
    ScriptedServer(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])).serve()
