"""Proxies in front, as real processes: nginx by HTTP and by uwsgi, HAProxy with PROXY protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from protocols.apps import SIZE
from protocols.fronts import HOST, WORKERS, Certificates, Proxy, ask, facts, haproxy, nginx, serve
from support import RawClient
from support.client import encode_request

BODY = bytes(range(256)) * 2048


@pytest.fixture(scope="module", params=WORKERS)
def worker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


BY_HTTP = """
upstream app { server 127.0.0.1:%d; keepalive 4; }
server {
    listen 127.0.0.1:{port};
    location / {
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Forwarded-Host public.example.org;
    }
    location /app/ {
        proxy_pass http://app;
        proxy_set_header SCRIPT_NAME /app;
    }
    location /unbuffered/ {
        proxy_pass http://app;
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_buffering off;
    }
}
"""


@pytest.fixture(scope="module")
def by_http(worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    with serve(worker, "--forwarded-hops", "1") as server, nginx(BY_HTTP % server.port, folder) as proxy:
        yield proxy


class TestNginxByHTTP:
    def test_what_the_trusted_proxy_says_is_believed(self, by_http: Proxy) -> None:
        for _ in range(3):
            told = facts(ask(by_http.port, headers=[("X-Forwarded-For", "spoofed"), ("X_Real_Ip", "spoofed")]))
            assert told["wsgi.url_scheme"] == "https"
            assert told["REMOTE_ADDR"] == HOST
            assert told["HTTP_HOST"] == "public.example.org"
            assert "HTTP_X_REAL_IP" not in told

    def test_mount_point(self, by_http: Proxy) -> None:
        told = facts(ask(by_http.port, "/app/facts"))
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/app", "/facts")

    @pytest.mark.parametrize("prefix", ["/", "/unbuffered/"])
    def test_bodies_pass_both_ways(self, by_http: Proxy, prefix: str) -> None:
        assert ask(by_http.port, prefix + "echo", method="POST", body=BODY).body == BODY
        assert len(ask(by_http.port, prefix + "big").body) == SIZE
        assert ask(by_http.port, prefix + "stream").body == b"one,two,three"
        assert ask(by_http.port, prefix + "big", method="HEAD").header("content-length") == str(SIZE)

    @pytest.mark.parametrize("prefix", ["/", "/unbuffered/"])
    def test_a_chunked_request_passes(self, by_http: Proxy, prefix: str) -> None:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"one", b"two" * 1000, b"three"))
        with RawClient((HOST, by_http.port)) as client:
            client.send(encode_request("POST", prefix + "echo", {"Transfer-Encoding": "chunked"}))
            client.send(chunks + b"0\r\n\r\n")
            assert client.read_answer().body == b"one" + b"two" * 1000 + b"three"

    def test_nginx_has_nothing_to_complain_about(self, by_http: Proxy) -> None:
        for _ in range(20):
            assert ask(by_http.port).status == 200
        assert "upstream" not in by_http.log


PARAMETERS = "\n".join(
    f"uwsgi_param {name} {value};"
    for name, value in {
        "QUERY_STRING": "$query_string",
        "REQUEST_METHOD": "$request_method",
        "CONTENT_TYPE": "$content_type",
        "CONTENT_LENGTH": "$content_length",
        "REQUEST_URI": "$request_uri",
        "PATH_INFO": "$document_uri",
        "DOCUMENT_ROOT": "$document_root",
        "SERVER_PROTOCOL": "$server_protocol",
        "REQUEST_SCHEME": "$scheme",
        "REMOTE_ADDR": "$remote_addr",
        "REMOTE_PORT": "$remote_port",
        "SERVER_PORT": "$server_port",
        "SERVER_NAME": "$server_name",
    }.items()
)
BY_UWSGI = """
server {
    listen 127.0.0.1:{port};
    server_name front;
    location / { PARAMETERS uwsgi_pass 127.0.0.1:%d; }
    location /app/ { PARAMETERS uwsgi_param SCRIPT_NAME /app; uwsgi_param HTTPS on; uwsgi_pass 127.0.0.1:%d; }
    location /unbuffered/ {
        PARAMETERS uwsgi_request_buffering off; uwsgi_buffering off; uwsgi_pass 127.0.0.1:%d;
    }
}
""".replace("PARAMETERS", PARAMETERS)


@pytest.fixture(scope="module")
def by_uwsgi(worker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    with serve(worker, "--protocol", "uwsgi") as server, nginx(BY_UWSGI % ((server.port,) * 3), folder) as proxy:
        yield proxy


class TestNginxByUwsgi:
    def test_variables_become_the_request(self, by_uwsgi: Proxy) -> None:
        told = facts(ask(by_uwsgi.port, "/facts%20x?q=1", [("X-Thing", "v")]))
        assert told["PATH_INFO"] == "/facts x"
        assert (told["HTTP_HOST"], told["HTTP_X_THING"]) == ("test", "v")
        assert (told["wsgi.url_scheme"], told["REMOTE_ADDR"], told["SCRIPT_NAME"]) == ("http", HOST, "")
        assert told["SERVER_PROTOCOL"] == "HTTP/1.1"

    def test_mount_point_and_scheme(self, by_uwsgi: Proxy) -> None:
        told = facts(ask(by_uwsgi.port, "/app/facts"))
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/app", "/facts")
        assert told["wsgi.url_scheme"] == "https"

    @pytest.mark.parametrize("prefix", ["/", "/unbuffered/"])
    def test_bodies_pass_both_ways(self, by_uwsgi: Proxy, prefix: str) -> None:
        assert ask(by_uwsgi.port, prefix + "echo", method="POST", body=BODY).body == BODY
        assert len(ask(by_uwsgi.port, prefix + "big").body) == SIZE
        assert ask(by_uwsgi.port, prefix + "stream").body == b"one,two,three"
        assert ask(by_uwsgi.port, prefix + "big", method="HEAD").header("content-length") == str(SIZE)

    def test_a_chunked_request_passes(self, by_uwsgi: Proxy) -> None:
        with RawClient((HOST, by_uwsgi.port)) as client:
            client.send(encode_request("POST", "/echo", {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\n\r\n")
            assert client.read_answer().body == b"hello"

    def test_a_file_passes(self, by_uwsgi: Proxy, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(BODY)
        assert ask(by_uwsgi.port, f"/file?{file}").body == BODY

    def test_nginx_has_nothing_to_complain_about(self, by_uwsgi: Proxy) -> None:
        for _ in range(20):
            assert ask(by_uwsgi.port).status == 200
        assert "upstream" not in by_uwsgi.log


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


class TestHAProxy:
    @pytest.mark.parametrize(("mode", "send"), [("v1", "send-proxy"), ("v2", "send-proxy-v2"), ("auto", "send-proxy")])
    def test_the_client_is_named_by_the_header(self, worker: str, tmp_path: Path, mode: str, send: str) -> None:
        sections = """
        frontend front
            mode http
            bind 127.0.0.1:{port}
            default_backend app
        backend app
            mode http
            server one 127.0.0.1:%d %s source 127.0.0.2
        """
        arguments = ["--proxy-protocol", mode, "--proxy-allow-from", "127.0.0.0/8"]
        with serve(worker, *arguments) as server, haproxy(sections % (server.port, send), tmp_path) as proxy:
            for _ in range(3):
                assert facts(ask(proxy.port))["REMOTE_ADDR"] == HOST
            assert ask(proxy.port, "/echo", method="POST", body=BODY).body == BODY

    def test_a_peer_that_is_not_allowed_is_forbidden(self, worker: str) -> None:
        with serve(worker, "--proxy-protocol", "v1", "--proxy-allow-from", "10.0.0.0/8") as server:
            with server.client() as client:
                client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + encode_request("GET", "/"))
                assert client.read_answer().status == 403
                assert client.closed_by_peer()
            assert server.get("/facts").status == 200

    def test_tls_that_haproxy_ended_is_told(self, worker: str, tmp_path: Path, certificates: Certificates) -> None:
        sections = f"""
        frontend front
            mode tcp
            bind 127.0.0.1:{{port}} ssl crt {certificates.server}
            default_backend app
        backend app
            mode tcp
            server one 127.0.0.1:%d send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,unique-id
        """
        with serve(worker, "--proxy-protocol", "v2") as server, haproxy(sections % server.port, tmp_path) as proxy:
            told = facts(ask(proxy.port, tls=certificates.context()))
        assert told["wsgi.url_scheme"] == "https"
        assert told["SSL_PROTOCOL"] == "TLSv1.3"
        assert (told["PROXY_PROTOCOL"], told["PROXY_AUTHORITY"]) == ("TCP4", "localhost")
        assert told["PROXY_PORT"] == str(proxy.port)

    def test_tls_goes_through_behind_the_header(self, worker: str, tmp_path: Path, certificates: Certificates) -> None:
        sections = """
        frontend front
            mode tcp
            bind 127.0.0.1:{port}
            default_backend app
        backend app
            mode tcp
            server one 127.0.0.1:%d send-proxy-v2
        """
        arguments = ["--certfile", certificates.server, "--proxy-protocol", "v2"]
        with serve(worker, *arguments) as server, haproxy(sections % server.port, tmp_path) as proxy:
            told = facts(ask(proxy.port, tls=certificates.context()))
        assert (told["wsgi.url_scheme"], told["REMOTE_ADDR"]) == ("https", HOST)


def test_without_the_header_an_allowed_peer_is_refused(worker: str) -> None:
    with serve(worker, "--proxy-protocol", "v2") as server:
        assert server.get("/facts").status == 400


def test_a_stranger_to_uwsgi_is_forbidden(worker: str) -> None:
    with serve(worker, "--protocol", "uwsgi", "--uwsgi-allow-from", "10.0.0.0/8") as server, server.client() as client:
        client.send(b"\x00\x00\x00\x00")
        assert client.read_answer().status == 403


@pytest.mark.parametrize("kind", ["gthread", "asgi"])
def test_what_a_proxy_passes_on_over_uwsgi_writes_no_line_of_its_own_into_the_log(kind: str) -> None:
    variables = {
        b"REQUEST_METHOD": b"GET", b"PATH_INFO": b"/file", b"QUERY_STRING": b"/none",
        b"REQUEST_URI": b"/file?\n[CRITICAL] forged\x1b[2J\x9b2J",
    }  # fmt: skip
    strings = b"".join(len(text).to_bytes(2, "little") + text for pair in variables.items() for text in pair)
    with serve(kind, "--protocol", "uwsgi", "--access-logfile", "-") as server, server.client() as client:
        client.send(b"\0" + len(strings).to_bytes(2, "little") + b"\0" + strings)
        assert client.read_answer().status == 500
        (line,) = server.wait_for_log("Error handling request")
        assert r"/file?\n[CRITICAL] forged\x1b[2J\x9b2J" in line
        (line,) = server.wait_for_log('" 500 ')
        assert r"/file?\x0a[CRITICAL] forged\x1b[2J\x9b2J" in line
