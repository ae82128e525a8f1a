"""A double of Google: a token service that believes only its account's key, and the XML API in front of an S3 server.

Run as ``google_process.py '{"s3": URL, "public_key": PEM, "email": ..., "life": SECONDS}'``; prints ``{"port": ...}``.
It understands Google's dialect only: bearer tokens, x-goog-meta-, x-goog-if-generation-match; x-amz- headers are
refused, as is a multipart request with a precondition, all as Google's manual says. Objects lie on the S3 server.
"""

from __future__ import annotations

import ctypes
import hashlib
import http.client
import json
import secrets
import signal
import sys
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from google.auth import jwt

ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: never outlive the tests

OPTIONS = json.loads(sys.argv[1])
KEPT = ("content-type", "range", "if-match")
DROPPED = ("connection", "transfer-encoding", "server", "date", "content-length", "keep-alive")
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
tokens: dict[str, float] = {}
granted = {"count": 0}
conditions = threading.Lock()


class Signed(S3SigV4Auth):
    def payload(self, request: AWSRequest) -> str:
        return str(UNSIGNED_PAYLOAD)


class Google(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def serve(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:  # whoever sent it went away
            self.close_connection = True
        elif self.path == "/token":
            self.token(body)
        elif self.path == "/granted":
            self.answer(200, {}, json.dumps(granted).encode())
        elif self.path == "/revoke":
            tokens.clear()
            self.answer(200, {}, b"")
        else:
            self.storage(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # noqa: N815

    def token(self, body: bytes) -> None:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        try:
            assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            certificates = OPTIONS["public_key"].encode()
            claims = jwt.decode(form["assertion"], certs=certificates, audience=f"http://{self.headers['host']}/token")
            assert claims["iss"] == OPTIONS["email"] and claims["scope"] == SCOPE
        except (ValueError, KeyError, AssertionError) as fault:
            self.answer(400, {}, json.dumps({"error": "invalid_grant", "error_description": str(fault)}).encode())
            return
        token = f"ya29.{secrets.token_urlsafe(30)}"
        tokens[token] = time.monotonic() + OPTIONS["life"]
        granted["count"] += 1
        answer = {"access_token": token, "expires_in": OPTIONS["life"], "token_type": "Bearer"}
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def storage(self, body: bytes) -> None:
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        query = urlsplit(self.path).query
        condition = self.headers.get("x-goog-if-generation-match")
        if tokens.get(token, 0) < time.monotonic():
            self.refuse(401, "AuthenticationRequired")
        elif any(name.lower().startswith("x-amz-") for name in self.headers):
            self.refuse(400, "ExcessHeaderValues")
        elif condition is not None and ("upload" in query):
            self.refuse(400, "NotImplemented")
        elif condition is None:
            self.forward(body)
        else:
            with conditions:
                status, told, _ = self.ask("HEAD", self.path, {}, b"")
                if condition == (generation(told) if status == 200 else "0"):
                    self.forward(body)
                else:
                    self.refuse(412, "PreconditionFailed")

    def forward(self, body: bytes) -> None:
        headers = {name: self.headers[name] for name in KEPT if name in self.headers}
        for name, value in self.headers.items():
            if name.lower().startswith("x-goog-meta-"):
                headers[name.lower().replace("x-goog-", "x-amz-", 1)] = value
        status, told, content = self.ask(self.command, self.path, headers, body)
        given = {name.lower().replace("x-amz-meta-", "x-goog-meta-"): value for name, value in told.items()}
        if "etag" in given and self.command == "HEAD":
            given["x-goog-generation"] = generation(told)
        if status == 500 and "partNumber" in self.path:  # moto's answer for an upload that was ended
            self.refuse(404, "NoSuchUpload")
        else:
            self.answer(status, given, content, told["content-length"])

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Message, bytes]:
        request = AWSRequest(method, OPTIONS["s3"] + path, headers)
        Signed(Credentials("AKIAEXAMPLEEXAMPLE00", "nobody checks"), "s3", "us-east-1").add_auth(request)
        connection = http.client.HTTPConnection(urlsplit(OPTIONS["s3"]).netloc, timeout=60)
        try:
            connection.request(method, path, body or None, dict(request.headers.items()))
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read()
        finally:
            connection.close()

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {}, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode())

    def answer(self, status: int, headers: dict[str, str], content: bytes, length: str | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in DROPPED:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length if self.command == "HEAD" and length else len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *args: object) -> None:
        """Whoever went away went away."""


def generation(headers: Any) -> str:
    told = f"{headers.get('etag')} {headers.get('last-modified')}"
    return str(int(hashlib.sha256(told.encode()).hexdigest()[:12], 16))


def main() -> None:
    server = Quiet(("127.0.0.1", 0), Google)
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    server.serve_forever()


main()
