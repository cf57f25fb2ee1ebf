"""Documents that come as multipart/form-data."""
import hashlib
import os
import pathlib
import socket

from gateway_alone import gateway, problem
from harness import wait_for


def form(*parts, end=True):
    out = b""
    for name, filename, value in parts:
        out += b"--XX\r\nContent-Disposition: form-data; name=\"" + name.encode() + b"\""
        if filename is not None:
            out += b"; filename=\"" + filename.encode() + b"\"\r\nContent-Type: text/markdown"
        out += b"\r\n\r\n" + value + b"\r\n"
    return out + (b"--XX--\r\n" if end else b"")


FORM = {"Content-Type": "multipart/form-data; boundary=XX"}


def test_forms_carry_one_document_and_its_options():
    with gateway() as gate:
        big = os.urandom(3_000_000)
        for content in (b"# small", b"", big):
            answer = gate.rest.post("documents", form(("priority", None, b"2"), ("file", "nöte.md", content),
                                                      ("options", None, b'{"a":1}')), headers=FORM)
            assert answer.status == 201, answer
            asked = gate.broker.last("submit")
            assert asked["filename"].decode() == "nöte.md" and asked["media_type"] == b"text/markdown"
            assert asked["bytes"] == len(content) and asked["priority"] == 2 and asked["options"] == b'{"a":1}'
            assert asked["hash"] == hashlib.blake2b(content, digest_size=32).digest()
        file = ("file", "a.md", b"x")
        bad = [((("priority", None, b"11"), file), 422, "invalid_value"),
               ((("colour", None, b"red"), file), 422, "unknown_field"),
               ((file, ("colour", None, b"red")), 422, "unknown_field"),
               ((file, file), 422, "invalid_value"),
               ((("file", None, b"x"),), 422, "invalid_value"),
               ((("priority", None, b"1"),), 422, "invalid_value")]
        for parts, status, code in bad:
            problem(gate.rest.post("documents", form(*parts), headers=FORM), status, code)
        problem(gate.rest.post("documents", form(file, end=False), headers=FORM), 400, "malformed")
        problem(gate.rest.post("documents", b"x", headers={"Content-Type": "multipart/form-data"}), 400, "malformed")
        assert not list((gate.directory / "blobs" / "tmp").iterdir())


def test_parts_of_a_form_need_a_name():
    with gateway() as gate:
        nameless = b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--\r\n"
        bare = b"--XX\r\n\r\nx\r\n--XX--\r\n"
        empty = form(("", None, b"stray"), ("priority", None, b"2"), ("file", "a.md", b"x"))
        for body in (nameless, bare, empty):
            answer = gate.rest.post("documents", body, headers=FORM)
            problem(answer, 400, "malformed")
            assert "no name" in answer.json["detail"], answer
        assert gate.broker.count("submit") == 0


def test_names_of_files_come_in_every_form_that_clients_write():
    names = (('filename="a\\"b"', 'a"b'), ("filename=\"old.txt\"; filename*=UTF-8''n%C3%B6te.md", "nöte.md"),
             ("filename*=utf-8''a.md", "a.md"), ("filename=a.md", "a.md"), ('filename="a%22b"', 'a"b'))
    with gateway() as gate:
        for written, name in names:
            body = f"--XX\r\nContent-Disposition: form-data; name=file; {written}\r\n\r\nx\r\n--XX--\r\n"
            answer = gate.rest.post("documents", body.encode(), headers=FORM)
            assert answer.status == 201 and gate.broker.last("submit")["filename"].decode() == name, (written, answer)
        for written in ("filename*=latin1''%E9", "filename*=UTF-8''%E9", 'filename=""'):
            body = f"--XX\r\nContent-Disposition: form-data; name=file; {written}\r\n\r\nx\r\n--XX--\r\n"
            problem(gate.rest.post("documents", body.encode(), headers=FORM), 400, "malformed")


def test_what_is_around_the_parts_is_skipped():
    with gateway() as gate:
        body = b"This is a form.\r\n" + form(("file", "a.md", b"x")) + b"The end.\r\n--XX\r\n"
        assert gate.rest.post("documents", body, headers=FORM).status == 201
        assert gate.broker.last("submit")["bytes"] == 1


def test_a_form_is_read_the_same_however_it_is_cut():
    with gateway() as gate:
        body = form(("priority", None, b"2"), ("file", "a.md", b"text"), ("options", None, b'{"a":1}'))
        head = (b"POST /api/v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                b"Content-Type: multipart/form-data; boundary=XX\r\n\r\n" % len(body))
        with socket.create_connection((gate.host.hostname, gate.host.port), timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(head)
            for at in range(len(body)):
                connection.sendall(body[at:at + 1])
                # the next byte leaves when this one was read
                wait_for(lambda: not unread(connection), 5, "the byte is read", pause=0)
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        asked = gate.broker.last("submit")
        assert asked["priority"] == 2 and asked["bytes"] == 4 and asked["options"] == b'{"a":1}'


def unread(connection):
    """Whether the other end, on this machine, has bytes in its socket that nobody has read."""
    ends = [f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
            for host, port in (connection.getpeername(), connection.getsockname())]
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines():
        words = line.split()
        if words[1:3] == ends:
            return int(words[4].split(":")[1], 16) > 0
    return False


def test_a_form_with_a_second_file_is_refused_also_behind_an_empty_one():
    with gateway() as gate:
        for parts in ((("file", "a.md", b""), ("file", "b.md", b"x")),
                      (("file", "a.md", b""), ("priority", None, b"1"), ("file", "a.md", b"x"))):
            answer = gate.rest.post("documents", form(*parts), headers=FORM)
            problem(answer, 422, "invalid_value")
            assert "twice" in answer.json["detail"]
        assert gate.broker.count("submit") == 0


def test_boundaries_may_be_quoted_and_stand_anywhere():
    with gateway() as gate:
        body = form(("file", "a.md", b"x"))
        for value in ("boundary=XX; charset=utf-8", 'boundary="XX"; charset=utf-8', 'boundary="XX"', "charset=x; Boundary=XX"):
            answer = gate.rest.post("documents", body, headers={"Content-Type": "multipart/form-data; " + value})
            assert answer.status == 201, (value, answer)
        answer = gate.rest.post("documents", body.replace(b"--XX", b"--X"),
                                headers={"Content-Type": "multipart/form-data; boundary=X"})
        assert answer.status == 201, answer
        for value in ("boundary=", "boundary=" + 71 * "X", "boundary=XX; boundary=XX"):
            answer = gate.rest.post("documents", body, headers={"Content-Type": "multipart/form-data; " + value})
            problem(answer, 400, "malformed")
            assert "boundary" in answer.json["detail"]
