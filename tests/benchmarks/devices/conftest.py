"""The benchmark page with a stand-in for LiteRT.js whose outputs take a known time."""

import shutil
from collections.abc import Callable

import pytest

from osteolite.benchmarks.devices.pageserver import Content, page_contents

# Stand-in for LiteRT.js: as on a GPU, `run` returns at once, and the data of its outputs arrive 50 ms later.
_STAND_IN = """
export const supportsFeature = async () => true;
export const loadLiteRt = async () => ({liteRtWasm: {getThreadCount: () => 3}});
export class Tensor {
  delete() {}
  async data() {
    const end = performance.now() + 50;
    while (performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 1));
    return new Float32Array([0.25]);
  }
}
export const loadAndCompile = async (bytes, options) => ({
  options, isFullyAccelerated: true, delete() {},
  getInputDetails: () => [{dtype: "float32", shape: [1, 32, 32, 1]}],
  run: async () => { %s return [new Tensor()]; },
});
"""


@pytest.fixture(scope="module")
def needs_chromium() -> None:
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        pytest.skip("needs Chromium")


@pytest.fixture
def stand_in(needs_chromium: None) -> Callable[..., Callable[[], dict[str, Content]]]:
    """Make the page with a stand-in for LiteRT.js whose `run` first executes the given JavaScript."""

    def page(first: str = "") -> Callable[[], dict[str, Content]]:
        return lambda: page_contents() | {"/third_party/litertjs/index.js": (_STAND_IN % first).encode()}

    return page
