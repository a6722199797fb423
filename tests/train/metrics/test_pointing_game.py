import numpy as np
import pytest

from osteolite.train.data.boxes import Box
from osteolite.train.metrics.pointing_game import PointedImage, hottest_point, pointing_metrics


def test_pointing_metrics_count_hits_chance_and_detected_images() -> None:
    left, middle = (Box(0, 0, 0.5, 0.4),), (Box(0.4, 0.4, 0.6, 0.6),)
    images = [
        PointedImage("g", left, 0.9, (0.25, 0.25)),
        PointedImage("g", left, 0.9, (0.25, 0.45)),
        PointedImage("h", middle, 0.5, (0.6, 0.6)),  # the border counts
        PointedImage("i", left, 0.1, None),
    ]
    found = pointing_metrics(images, 0.5)
    assert found["nowhere"] == 1
    assert (found["all"]["images"], found["all"]["groups"]) == (4, 3)
    assert found["all"]["share"]["value"] == 0.5
    assert found["all"]["centre"]["value"] == 0.25
    assert found["all"]["chance"]["value"] == pytest.approx((3 * 0.2 + 0.04) / 4)
    assert found["detected"]["images"] == 3
    assert found["detected"]["share"]["value"] == pytest.approx(2 / 3, abs=1e-5)
    assert found["all"]["share"]["low"] < 0.5 < found["all"]["share"]["high"]
    assert pointing_metrics(images, 0.95)["detected"] is None


def test_images_of_one_group_widen_the_interval() -> None:
    hits = [True] * 20 + [False] * 20
    box = (Box(0, 0, 0.4, 0.4),)

    def width(groups: list[str]) -> float:
        images = [PointedImage(g, box, 1.0, (0.1, 0.1) if hit else None) for g, hit in zip(groups, hits, strict=True)]
        share = pointing_metrics(images, 0.5)["all"]["share"]
        return float(share["high"] - share["low"])

    assert width([str(i // 10) for i in range(40)]) > 1.5 * width([str(i) for i in range(40)])


def test_the_hottest_point_is_the_centre_of_its_cell() -> None:
    heat = np.zeros((4, 5))
    heat[3, 0] = 2
    assert hottest_point(heat) == (0.1, 0.875)
    assert hottest_point(-heat - 1) is not None  # a map without positive values still has a maximum
    assert hottest_point(np.full((4, 5), -1.0)) is None
