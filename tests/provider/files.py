"""Files as OpenAI keeps them: uploaded, listed, read and deleted."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from tests.provider.behaviour import Behaviour
from tests.provider.wire import Answer, Call

NAME = re.compile(rb'name="([^"]*)"')
FILENAME = re.compile(rb'filename="([^"]*)"')


@dataclass(frozen=True)
class File:
    """A file and what is told of it."""

    id: str
    filename: str
    purpose: str
    data: bytes
    created_at: int
    """The provider's Unix time."""

    def told(self) -> dict[str, Any]:
        """OpenAI's file object."""
        return {
            "id": self.id, "object": "file", "bytes": len(self.data), "created_at": self.created_at,
            "filename": self.filename, "purpose": self.purpose, "status": "processed", "status_details": None,
        }  # fmt: skip


class Files:
    """All files there are."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._made = 0

    def add(self, filename: str, purpose: str, data: bytes, now: float) -> File:
        """Keep a file."""
        self._made += 1
        file = File(f"file-{self._made:06d}", filename, purpose, data, int(now))
        self._files[file.id] = file
        return file

    def get(self, file_id: str) -> File | None:
        """The file with this id, if it is there."""
        return self._files.get(file_id)

    def answer(self, call: Call, does: Behaviour, now: float) -> Answer:
        """Answer a call to /v1/files."""
        match call.method, *call.path.split("/")[3:]:
            case ("POST",):
                return self._upload(call, does, now)
            case ("GET",):
                return page(call, (file.told() for file in reversed(self._files.values())))
            case _, file_id, *_ if file_id not in self._files:
                return Answer.error(404, f"No such File object: {file_id}", type="invalid_request_error", param="id")
            case "GET", file_id:
                return Answer.json(200, self._files[file_id].told())
            case "GET", file_id, "content":
                return Answer(200, self._files[file_id].data, {"Content-Type": "application/octet-stream"})
            case "DELETE", file_id:
                del self._files[file_id]
                return Answer.json(200, {"id": file_id, "object": "file", "deleted": True})
        return Answer.error(405, f"no {call.method} here", type="invalid_request_error")

    def _upload(self, call: Call, does: Behaviour, now: float) -> Answer:
        parts = multipart(call)
        if "file" not in parts or "purpose" not in parts:
            return Answer.error(400, "file and purpose are required", type="invalid_request_error", param="file")
        filename, data = parts["file"]
        if len(data) > does.batch_most_bytes:
            return Answer.error(400, "File is too large.", type="invalid_request_error", param=None, code=None)
        return Answer.json(200, self.add(filename, parts["purpose"][1].decode(), data, now).told())


def multipart(call: Call) -> dict[str, tuple[str, bytes]]:
    """The parts of a form by name: filename and data."""
    _, _, boundary = call.headers.get("content-type", "").partition("boundary=")
    found = {}
    for part in (b"\r\n" + call.body).split(b"\r\n--" + boundary.strip('"').encode())[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name, filename = NAME.search(head), FILENAME.search(head)
        assert name is not None
        found[name[1].decode()] = (filename[1].decode() if filename else "", data)
    return found


def page(call: Call, newest_first: Iterable[dict[str, Any]]) -> Answer:
    """One page of a list, which starts behind the object `after` and holds `limit` of them."""
    asked = parse_qs(call.query)
    objects = [told for told in newest_first if asked.get("purpose", [told.get("purpose")]) == [told.get("purpose")]]
    ids = [told["id"] for told in objects]
    start = ids.index(asked["after"][0]) + 1 if asked.get("after", [None])[0] in ids else 0
    shown = objects[start : start + int(asked.get("limit", ["20"])[0])]
    return Answer.json(
        200,
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": start + len(shown) < len(objects),
        },
    )
