"""The camera: what is seen where, and that nothing depends on chance."""

import mujoco
import numpy as np
import pytest

from mmfusion.data import raster, scenes
from mmfusion.data import simulated as sim
from mmfusion.data.look import Backdrop, Effects, Light, Look, View, arc_light
from mmfusion.data.raycast import EVERYTHING, MARK, MOVING, Camera
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


@pytest.fixture(scope="module", params=scenes.VERSIONS)
def filmed(request):
    """A scene at the end of an episode, with the effects and the look of that episode."""
    scene = scenes.build(request.param)
    ends = []
    effects = type(scene).effects
    scene.effects = lambda plan, tick: ends.append((plan, tick)) or effects(scene, plan, tick)
    sim.record(scene, 1, 0, size=8, first_frame=scene.samples - 1)
    (plan, tick) = ends[-1]
    mujoco.mj_kinematics(scene.model, scene.state)
    return scene, effects(scene, plan, tick), plan.look


def test_bundles_of_rays_see_what_single_rays_see(filmed):
    """MuJoCo's bundles skip bodies by their bounds; a badly built scene loses geoms by that."""
    scene, _, look = filmed
    camera = scene.camera(40, look)
    bundle = camera._cast(scene.state, camera.origin, camera.rays, EVERYTHING)[0]
    single, hit = [], np.zeros(1, dtype=np.int32)
    for ray in camera.rays:
        mujoco.mj_ray(scene.model, scene.state, camera.origin, ray, None, 1, -1, hit)
        single.append(hit[0])
    assert np.array_equal(bundle, single)
    assert len(set(single)) > 8


def test_what_is_kept_and_what_is_cast_anew_make_the_whole_picture(filmed):
    scene, effects, look = filmed
    state, rng = scene.state, np.random.default_rng(0)
    kept = scene.camera(48, look)
    kept.render(state, effects)
    for _ in range(6):
        for arm, (_, kind, _) in zip(scene.arms, scene.mounted, strict=True):
            state.qpos[arm.address] = np.array(kind.home) + rng.uniform(-0.5, 0.5, size=len(arm.address))
        mujoco.mj_kinematics(scene.model, state)
        assert np.array_equal(kept.render(state, effects), all_rays(scene.camera(48, look), state, effects))


def all_rays(camera, state, effects):
    """The same picture with nothing kept and nothing left out: all geoms count as moving and may be anywhere."""
    camera.still[:] = False
    groups = camera.model.geom_group.copy()
    camera.model.geom_group[groups != MARK] = MOVING
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "_bounds", lambda centres, *_: np.tile([[[-1e3] * 2, [1e3] * 2]], (len(centres), 1, 1)))
        picture = camera.render(state, effects)
    camera.model.geom_group[:] = groups
    return picture


def test_a_part_that_is_moved_by_hand_is_seen_in_its_new_place(cell, posed):
    camera = cell.camera(48)
    before = camera.render(posed)
    posed.mocap_pos[0] = 0.6, -0.1, 0.002
    mujoco.mj_kinematics(cell.model, posed)
    after = camera.render(posed)
    assert not np.array_equal(before, after)
    assert np.array_equal(after, cell.camera(48).render(posed))


def test_what_has_no_opacity_is_not_there(cell, posed):
    camera = cell.camera(48)
    number = cell.model.geom("object").id
    seen = camera.covered(posed, np.array([number]))
    cell.model.geom_rgba[number, 3] = 0.0
    try:
        assert seen.any() and not camera.covered(posed, np.array([number])).any()
        assert not _orange(camera.render(posed)).any()
    finally:
        cell.model.geom_rgba[number, 3] = 1.0


def test_an_arc_lights_what_faces_it_and_a_glowing_geom_shines(cell, posed):
    camera = cell.camera(48)
    plain = camera.render(posed).astype(int)
    spot = np.array([0.45, 0.0, 0.06])
    lit = camera.render(posed, Effects(arcs=[(spot, 1.0)])).astype(int)
    assert (lit >= plain).all() and (lit.min(axis=2) > 250).any()
    brighter = (lit - plain).sum(axis=2)
    centre = np.unravel_index(brighter.argmax(), brighter.shape)
    across, upward, depth = camera.axes @ (spot - camera.origin)
    expected = 24 + np.array([-upward, across]) / depth / camera.edge * 24
    assert np.linalg.norm(np.array(centre) + 0.5 - expected) < 3
    number = cell.model.geom("object").id
    glowing = camera.render(posed, Effects(glow={number: (0.0, 0.5, 0.0)})).astype(int)
    seen = camera.covered(posed, np.array([number]))
    assert np.all(glowing[seen][:, 1] > plain[seen][:, 1] + 100)
    assert np.array_equal(glowing[~seen], plain[~seen])


def test_the_light_of_an_arc_falls_with_the_square_of_the_distance():
    points = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    up = np.array([[0, 0, 1], [0, 0, 1], [0, 0, -1]], dtype=np.float32)
    near = arc_light(points, up, np.array([0.0, 0.0, 0.2]), 1.0)
    far = arc_light(points, up, np.array([0.0, 0.0, 0.4]), 1.0)
    assert np.allclose(near[0] / far[0], 4, rtol=0.01) and np.all(near[2] == 0)
    slanted = arc_light(points, up, np.array([0.2, 0.0, 0.2]), 1.0)
    assert np.allclose(near[0] / slanted[0], 2 * np.sqrt(2), rtol=0.01)


def test_lamp_tint_and_backdrop_are_those_of_the_look(cell, posed):
    red = Look(light=Light(tint=(1.0, 0.5, 0.5)))
    plain, tinted = (cell.camera(32, look).render(posed).astype(float) for look in (None, red))
    assert np.allclose(tinted[..., 1], plain[..., 1] / 2, atol=1)
    night = cell.camera(32, Look(backdrop=Backdrop((0, 0, 0), (0, 0, 0), (0, 0, 0)))).render(posed)
    assert night[0].max() == 0 < plain[0].min()
    dim = cell.camera(32, Look(light=Light(ambient=0.2, diffuse=0.2))).render(posed)
    assert dim[16:].mean() < 0.6 * plain[16:].mean()


def test_every_point_of_a_geom_lies_in_one_of_its_spheres(filmed):
    scene, _, _ = filmed
    shell, rng, checked = raster.Shell(scene.model), np.random.default_rng(0), 0
    for geom in range(scene.model.ngeom):
        if mujoco.mjtGeom(scene.model.geom_type[geom]).name not in ("mjGEOM_CAPSULE", "mjGEOM_CYLINDER"):
            continue
        centres, radii = shell.spheres(scene.state, np.arange(scene.model.ngeom) == geom)
        radius, half, _ = scene.model.geom_size[geom]
        angle, height = rng.uniform(0, 2 * np.pi, 200), np.append(rng.uniform(-half, half, 198), [-half, half])
        side = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)
        points = scene.state.geom_xpos[geom] + side @ scene.state.geom_xmat[geom].reshape(3, 3).T
        away = np.linalg.norm(points[:, None] - centres[None], axis=2) - radii
        assert away.min(axis=1).max() < 1e-9
        checked += 1
    assert checked > 5


def test_a_camera_may_look_straight_down(cell, posed):
    down = Look(View(position=(0.5, -0.25, 1.0), target=(0.5, -0.25, 0.0), opening=20))
    assert _orange(cell.camera(33, down).render(posed))[16, 16]
