"""One request of an AWS client, as it comes over the wire, and how AWS words a refusal of it."""

from __future__ import annotations

import io
import json
import re
import uuid
from dataclasses import field
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

from ess_dask.dataclass import dataclass

_SCOPE = re.compile(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/aws4_request")
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what: ``parameters`` are those of the form, flat, as they were sent."""

    service: str
    region: str
    access_key: str
    action: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def listed(self, name: str) -> list[str]:
        """Return the values of a numbered parameter (``InstanceId.1``, ``InstanceId.2``, ...)."""
        found = [
            (int(key.rpartition(".")[2]), value)
            for key, value in self.parameters.items()
            if re.fullmatch(rf"{re.escape(name)}\.\d+", key)
        ]
        return [value for _, value in sorted(found)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that AWS answers with: its code, its words, the HTTP status."""

    code: str
    message: str
    status: int = 400


def read_request(environ: dict[str, Any]) -> Request:
    """Read a request; a form's body is put back, other bodies are not touched."""
    signed = environ.get("HTTP_AUTHORIZATION", "") or environ.get("QUERY_STRING", "")
    match = _SCOPE.search(signed.replace("%2F", "/").replace("X-Amz-Credential", "Credential"))
    key, region, service = match.groups() if match else ("", "", "")
    parameters: dict[str, str] = {}
    action = ""
    if environ.get("CONTENT_TYPE", "").startswith(_FORM):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        put_body(environ, body)
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = parameters.get("Action", "")
    elif target := environ.get("HTTP_X_AMZ_TARGET", ""):
        action = target.rpartition(".")[2]
    return Request(service, region, key, action, parameters)


def put_body(environ: dict[str, Any], body: bytes) -> None:
    """Give a request this body."""
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))


def encoded(parameters: dict[str, str]) -> bytes:
    """Return a form's body."""
    return urlencode(parameters).encode()


def worded(refusal: Refusal, service: str) -> tuple[str, bytes]:
    """Return (content type, body) of a refusal, in the protocol of the service."""
    code, message = escape(refusal.code), escape(refusal.message)
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    number = uuid.uuid4()
    if service == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors>"
        text += f"<RequestID>{number}</RequestID></Response>"
    elif service == "s3":
        text = f"<Error>{inner}<RequestId>{number}</RequestId></Error>"
    elif service in {"sts", "iam"}:
        text = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error>"
        text += f"<RequestId>{number}</RequestId></ErrorResponse>"
    else:
        body = {"__type": refusal.code, "message": refusal.message}
        return "application/x-amz-json-1.1", json.dumps(body).encode()
    return "text/xml", f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
