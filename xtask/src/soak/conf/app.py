"""The soak's WSGI application for gunicorn."""
import ctypes
import os


def app(env, start):
    path, method = env["PATH_INFO"], env["REQUEST_METHOD"]
    if path == "/exit":
        os._exit(1)
    if path == "/fault":
        ctypes.string_at(8)
    body = env["wsgi.input"].read()
    if path == "/chunked":
        start("200 OK", [("Content-Type", "text/plain")])
        return (b"y" * 1000 for _ in range(5))
    if path in ("/nocontent", "/notmodified"):
        start("204 No Content" if path == "/nocontent" else "304 Not Modified", [])
        return []
    status = "404 Not Found" if path == "/missing" else "200 OK"
    reply = {"/large": b"x" * (300 * 1024), "/echo": body}.get(path, b"hello")
    start(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(reply)))])
    return [] if method == "HEAD" else [reply]
