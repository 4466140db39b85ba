"""A response ends where it says, however its bytes arrive; a broken one never passes for whole."""

from __future__ import annotations

import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replication_assets.targets.dynamodb.wire.http_response import BrokenResponse, Response, ResponseReader

bodies = st.binary(max_size=300) | st.just(b"0\r\n\r\n") | st.just(b"HTTP/1.1 200 OK\r\n\r\n")


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def fed(data: bytes, cuts: list[int]) -> Response | None:
    """The response, which must be complete with the very last byte and not before."""
    reader = ResponseReader()
    results = [reader.feed(piece) for piece in pieces(data, cuts)]
    assert all(result is None for result in results[:-1])
    return results[-1]


def with_length(body: bytes, *, headers: bytes = b"", status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nServer: x\r\n%sCONTENT-length:%d\r\n\r\n%s" % (status, headers, len(body), body)


@given(body=bodies, cuts=st.lists(st.integers(0, 999), max_size=6), interim=st.booleans())
def test_a_response_with_a_length_is_read_whatever_way_it_comes(
    body: bytes, cuts: list[int], interim: bool
) -> None:
    checksum = b"x-amz-crc32: %d\r\n" % zlib.crc32(body)
    before = b"HTTP/1.1 100 Continue\r\n\r\n" if interim else b""
    assert fed(before + with_length(body, headers=checksum), cuts) == Response(200, body, True)


@given(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5), cuts=st.lists(st.integers(0, 999)))
def test_a_response_in_chunks_is_read_whatever_way_it_comes(chunks: list[bytes], cuts: list[int]) -> None:
    told = b"".join(b"%X;note=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    data = b"HTTP/1.1 500 Oops\r\ntransfer-encoding: chunked\r\n\r\n" + told + b"0\r\nTrailer: x\r\n\r\n"
    assert fed(data, cuts) == Response(500, b"".join(chunks), True)


def test_a_connection_is_kept_unless_the_server_closes_it() -> None:
    def keeps(data: bytes) -> bool:
        response = ResponseReader().feed(data)
        assert response is not None
        return response.keeps_open

    assert keeps(with_length(b"{}"))
    assert not keeps(with_length(b"{}", headers=b"Connection: Close\r\n"))
    old = with_length(b"{}").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert not keeps(old)
    assert keeps(old.replace(b"Server: x", b"Connection: keep-alive"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "does not say how long"),
        (with_length(b"{}", headers=b"Content-Encoding: gzip\r\n"), "compressed"),
        (with_length(b"{}", headers=b"x-amz-crc32: 1\r\n"), "checksum"),
        (with_length(b"{}") + b"HTTP", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "without a size"),
    ],
)
def test_what_cannot_be_trusted_breaks_the_connection(data: bytes, why: str) -> None:
    with pytest.raises(BrokenResponse, match=why):
        ResponseReader().feed(data)


def test_a_reader_reads_one_response_after_the_other() -> None:
    reader = ResponseReader()
    assert reader.feed(with_length(b"a")) == Response(200, b"a", True)
    assert not reader.started
    assert reader.feed(with_length(b"bc", status=b"400 No")) == Response(400, b"bc", True)
