"""An adb server, stand-in phones, and a stand-in for `benchmark_model`."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from osteolite.benchmarks.devices.adb import BINARY

from .adbd import Phone
from .calls import adb, furnish, printing


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        with socket.create_server(("127.0.0.1", 0)) as free:
            patch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv(BINARY, raising=False)
        adb("start-server")
        yield
        adb("kill-server")


@pytest.fixture
def connect(server: None, tmp_path: Path) -> Iterator[Callable[..., Phone]]:
    phones: list[Phone] = []

    def one(**options: str) -> Phone:
        phones.append(furnish(Phone(tmp_path / f"phone{len(phones)}", **options)))
        adb("connect", phones[-1].serial)
        return phones[-1]

    yield one
    for phone in phones:
        adb("disconnect", phone.serial)
        phone.unplug()


@pytest.fixture
def phone(connect: Callable[..., Phone]) -> Phone:
    return connect()


@pytest.fixture
def benchmark_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a stand-in that prints a recorded output or runs another command, depending on its flags."""

    def write(**by_flag: str) -> Path:
        said = {"enable_op_profiling": "profile_kernels", "use_gpu": "gpu_full", "use_nnapi": "nnapi_full", **by_flag}
        cases = [f"*--{flag}=true*) {printing(what)} ;;" for flag, what in said.items() if flag != "otherwise"]
        script = ["#!/bin/sh", f'echo "$*" >> {tmp_path}/started', 'case "$*" in', *cases]
        binary = tmp_path / "android aarch64 benchmark_model"  # a name to be quoted
        binary.write_text("\n".join([*script, f"*) {printing(said.get('otherwise', 'cpu'))} ;;", "esac", ""]))
        monkeypatch.setenv(BINARY, str(binary))
        return binary

    return write
