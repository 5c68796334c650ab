"""The admin listener over plain HTTP."""

import json
import urllib.error
import urllib.request


def call(server, method, path, body=None, seconds=20.0, key=None):
    """(status, the JSON answered or None). `body` is sent as JSON, `key` as Idempotency-Key."""
    data = None if body is None else json.dumps(body).encode()
    headers = {} if method == "GET" else {"Content-Type": "application/json"}
    if key is not None:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(f"http://{server.endpoints['admin']}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        status, text = refused.code, refused.read()
    return status, json.loads(text) if text else None


def text(server, path, seconds=20.0):
    with urllib.request.urlopen(f"http://{server.endpoints['admin']}{path}", timeout=seconds) as answer:
        return answer.read().decode()


def transact(server, *operations, key=None):
    body = {"operations": list(operations)}
    if key is not None:
        body["idempotency_key"] = key
    return call(server, "POST", "/api/v1/transact", body)


def append(stream, *values, **more):
    return {"append": {"stream": stream, "records": [{"value": value} for value in values], **more}}


def create(server, name, partitions=1):
    return call(server, "POST", "/api/v1/streams", {"name": name, "partitions": partitions})
