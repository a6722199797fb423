import threading

from osteolite.demo.service.uploads import Uploads


def test_each_session_has_its_last_upload_and_no_other() -> None:
    uploads = Uploads()
    uploads.keep("ada", b"first")
    uploads.keep("ada", b"second")
    uploads.keep("ben", b"other")
    assert [uploads.get(name) for name in ("ada", "ben", "eve")] == [b"second", b"other", None]
    uploads.forget("ada")
    uploads.forget("eve")
    assert [uploads.get(name) for name in ("ada", "ben")] == [None, b"other"]


def test_the_oldest_go_first_when_there_are_too_many_bytes() -> None:
    uploads = Uploads(most_bytes=10)
    for name in ("a", "b", "c"):
        uploads.keep(name, bytes(4))
    assert [uploads.get(name) is None for name in ("a", "b", "c")] == [True, False, False]
    uploads.keep("b", bytes(1))  # frees 3, and makes it the newest
    uploads.keep("d", bytes(5))
    assert [uploads.get(name) is None for name in ("b", "c", "d")] == [False, False, False]
    uploads.keep("e", bytes(1))
    assert [uploads.get(name) is None for name in ("b", "c", "d", "e")] == [False, True, False, False]
    uploads.keep("f", bytes(11))
    assert all(uploads.get(name) is None for name in "abcdef")


def test_the_oldest_go_first_when_there_are_too_many_sessions() -> None:
    uploads = Uploads(most_sessions=2)
    for name in ("a", "b", "c"):
        uploads.keep(name, b"x")
    assert [uploads.get(name) for name in ("a", "b", "c")] == [None, b"x", b"x"]


def test_it_is_forgotten_without_anyone_asking() -> None:
    gone = threading.Event()

    class Watched(Uploads):
        def _forget(self, session: str) -> None:
            super()._forget(session)
            if not self._kept and session == "ben":
                gone.set()

    uploads = Watched(seconds=0.05)
    uploads.keep("ada", b"x")
    uploads.keep("ben", b"y")
    gone.clear()
    assert gone.wait(30)
    uploads.keep("ben", b"again")  # and the clock runs anew
    gone.clear()
    assert gone.wait(30)
