"""The uploads kept in memory: one for each session, within limits."""

import time

from osteolite.demo.service.uploads import Uploads


def test_each_session_keeps_its_last_upload() -> None:
    uploads = Uploads()
    uploads.keep("ada", b"first")
    uploads.keep("ada", b"second")
    uploads.keep("ben", b"other")
    assert [uploads.get(name) for name in ("ada", "ben", "eve")] == [b"second", b"other", None]
    uploads.forget("ada")
    uploads.forget("eve")
    assert [uploads.get(name) for name in ("ada", "ben")] == [None, b"other"]


def test_oldest_uploads_are_dropped_over_the_byte_limit() -> None:
    uploads = Uploads(max_bytes=10)
    for name in ("a", "b", "c"):
        uploads.keep(name, bytes(4))
    assert [uploads.get(name) is None for name in ("a", "b", "c")] == [True, False, False]
    uploads.keep("b", bytes(1))  # frees 3 bytes, and b is now the newest
    uploads.keep("d", bytes(5))
    assert [uploads.get(name) is None for name in ("b", "c", "d")] == [False, False, False]
    uploads.keep("e", bytes(1))
    assert [uploads.get(name) is None for name in ("b", "c", "d", "e")] == [False, True, False, False]
    uploads.keep("f", bytes(11))
    assert all(uploads.get(name) is None for name in "abcdef")


def test_oldest_uploads_are_dropped_over_the_session_limit() -> None:
    uploads = Uploads(max_sessions=2)
    for name in ("a", "b", "c"):
        uploads.keep(name, b"x")
    assert [uploads.get(name) for name in ("a", "b", "c")] == [None, b"x", b"x"]


def test_uploads_expire() -> None:
    uploads = Uploads(seconds=0.05)
    for session in ("ada", "ben", "ben"):
        uploads.keep(session, b"x")
        deadline = time.monotonic() + 30
        while uploads.get(session) is not None:
            assert time.monotonic() < deadline, f"the upload of {session} is still kept"
            time.sleep(0.01)
