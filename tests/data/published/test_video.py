"""Decoding: the right pictures, in order; damage is found, never glossed over."""

import sys

import numpy as np
import pytest

from mmfusion.data import DataError
from mmfusion.data.published import video
from tests.data import published_fixtures as fixtures


@pytest.fixture
def clip(tmp_path):
    fixtures.video(tmp_path / "a_cam.mp4")
    return tmp_path / "a_cam.mp4"


def noise(path, codec="mpeg4"):
    """A video of noise, large enough to be damaged in the middle; the index comes first."""
    import av

    draw = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            picture = draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_ramp_of_colours_is_found_again_in_order(tmp_path, codec):
    path = tmp_path / "ramp.mp4"
    fixtures.video(path, codec=codec)
    wanted, done = np.array([0, 3, 19, 35]), []
    taken = video.pictures(path, wanted, 8, advance=done.append)
    assert taken.shape == (4, 8, 8, 3) and taken.dtype == np.uint8 and sum(done) == 4
    for picture, number in zip(taken, wanted, strict=True):
        assert np.abs(picture.astype(int) - fixtures.ramp(number)).max() <= 6


def test_the_two_views(clip):
    sides = {view: video.pictures(clip, np.array([5]), 8, view)[0].astype(int) for view in video.VIEWS}
    assert np.abs(sides["right"] - (20, 20, 230)).max() <= 6
    assert np.abs(sides["whole"][:, :4] - sides["left"][:, :4]).max() <= 6
    assert np.abs(sides["whole"][:, 5:] - sides["right"][:, 5:]).max() <= 6
    with pytest.raises(DataError, match="view must be one of left, right, whole, got 'up'"):
        video.pictures(clip, np.array([5]), 8, "up")


def test_a_picture_of_usual_shape_is_one_view(tmp_path):
    fixtures.video(tmp_path / "flat.mp4", shape=(48, 96))
    whole, left = (video.pictures(tmp_path / "flat.mp4", np.array([2]), 8, view) for view in ("whole", "left"))
    assert np.array_equal(whole, left)


def test_times_come_from_the_file(clip, tmp_path):
    assert np.allclose(video.frame_times(clip), np.arange(fixtures.PICTURES) / 30)
    fixtures.video(tmp_path / "slow.mp4", pictures=10, rate=10)
    assert np.allclose(video.frame_times(tmp_path / "slow.mp4"), np.arange(10) / 10)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("share", [0.97, 0.6])
def test_a_truncated_video_is_named(tmp_path, share, codec):
    content = noise(tmp_path / "x_cam.mp4", codec)
    (tmp_path / "x_cam.mp4").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"x_cam\.mp4 is (truncated|damaged)") as found:
        video.frame_times(tmp_path / "x_cam.mp4")
        video.pictures(tmp_path / "x_cam.mp4", np.arange(20), 8)
    assert "\n" not in str(found.value)


def test_a_video_that_lacks_its_last_byte_is_truncated(clip):
    """Also where nobody asks for the picture that is cut."""
    clip.write_bytes(clip.read_bytes()[:-1])
    with pytest.raises(DataError, match="is truncated: 35 of 36 pictures are there"):
        video.frame_times(clip)


def test_a_corrupt_picture_is_not_patched_up(tmp_path):
    path = tmp_path / "x_cam.mp4"
    content = bytearray(noise(path))
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(255 - b for b in content[middle : middle + 40])
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x_cam\.mp4 is .*damaged"):
        video.pictures(path, np.arange(20), 8)


@pytest.mark.parametrize("content", [b"", b"no video at all\n" * 9, b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_foreign_files_are_named(tmp_path, content):
    (tmp_path / "x_cam.mp4").write_bytes(content)
    for read in (video.frame_times, lambda path: video.pictures(path, np.array([0]), 8)):
        with pytest.raises(DataError, match=r"x_cam\.mp4"):
            read(tmp_path / "x_cam.mp4")


def test_a_file_without_pictures_is_named(tmp_path):
    import av

    with av.open(str(tmp_path / "x_cam.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(DataError, match="holds no pictures; wanted an MP4 video"):
        video.frame_times(tmp_path / "x_cam.mp4")


def test_more_pictures_than_there_are(clip, tmp_path):
    with pytest.raises(DataError, match="has 36 pictures; wanted number 36"):
        video.pictures(clip, np.array([36]), 8)
    with pytest.raises(DataError, match=r"cannot read .*gone\.mp4"):
        video.frame_times(tmp_path / "gone.mp4")


def test_without_pyav_the_error_says_what_to_install(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DataError, match=r"pip install 'mmfusion\[data\]'"):
        video.frame_times(clip)
