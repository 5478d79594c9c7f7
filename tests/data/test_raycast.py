"""The camera: what is seen where, and that nothing depends on chance."""

import mujoco
import numpy as np
import pytest

from mmfusion.data.raycast import Camera, Look, View
from mmfusion.data.scenes import pick_and_place as pick


@pytest.fixture
def posed(cell):
    state = mujoco.MjData(cell.model)
    state.qpos[cell.arm.address] = pick.ARM.home
    state.qpos[cell.object : cell.object + 3] = 0.5, -0.25, pick.OBJECT_HALF[2]
    state.mocap_pos[0] = 0.45, 0.3, 0.002
    mujoco.mj_kinematics(cell.model, state)
    return state


def _orange(image):
    red, green, blue = (image[..., i].astype(int) for i in range(3))
    return (red > 90) & (red > 2 * green) & (green > 2 * blue)


def test_the_picture_shows_arm_table_object_and_target(cell, posed):
    image = cell.camera(64).render(posed)
    assert image.shape == (64, 64, 3) and image.dtype == np.uint8
    red, green, blue = (image[..., i].astype(int) for i in range(3))
    assert 15 < _orange(image).sum() < 200  # object
    assert ((blue > red + 60) & (blue > 120)).sum() > 60  # joints of the arm
    assert ((green > red + 40) & (green > blue + 10)).sum() > 10  # target
    assert ((red > green) & (green > blue) & ~_orange(image)).mean() > 0.3  # table
    assert image[0].mean() > image[20].mean()  # the wall is lighter towards the top


def test_the_object_moves_in_the_picture_when_it_moves(cell, posed):
    camera = cell.camera(64)
    before = np.argwhere(_orange(camera.render(posed))).mean(axis=0)
    posed.qpos[cell.object + 1] += 0.3
    mujoco.mj_kinematics(cell.model, posed)
    after = np.argwhere(_orange(camera.render(posed))).mean(axis=0)
    assert after[1] > before[1] + 8  # to the right, and a little up
    assert after[0] < before[0]


def test_a_pixel_sees_what_stands_in_its_line_of_sight(cell, posed):
    spot = (0.5, -0.25, pick.OBJECT_HALF[2])
    image = Camera(cell.model, 33, Look(View(target=spot, opening=6.0))).render(posed)
    assert _orange(image)[16, 16]


def test_what_stands_under_the_object_is_in_shadow(cell, posed):
    looking_down = View(position=(0.5, -0.2, 1.2), target=(0.5, -0.1, 0.0), opening=24)
    camera = Camera(cell.model, 96, Look(looking_down))
    lit = camera.render(posed).astype(int)
    posed.qpos[cell.object + 1] = 5.0
    mujoco.mj_kinematics(cell.model, posed)
    empty = camera.render(posed).astype(int)
    darker = (empty.sum(axis=2) - lit.sum(axis=2) > 60) & ~_orange(lit.astype(np.uint8))
    assert 20 < darker.sum() < 96 * 96 / 3


def test_rendering_is_repeatable_and_leaves_the_state_alone(cell, posed):
    before = posed.qpos.copy()
    first = cell.camera(32).render(posed)
    assert np.array_equal(first, cell.camera(32).render(posed))
    assert np.array_equal(before, posed.qpos)


def test_a_picture_needs_a_size(cell):
    with pytest.raises(ValueError, match="at least 8 pixels per side, got size=4"):
        cell.camera(4)
