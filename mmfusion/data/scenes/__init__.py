"""The scenes by name. Building one needs mujoco; naming one does not."""

# Raise a number whenever the same seed would give other episodes or other pictures.
VERSIONS = {"pick-and-place": 1, "welding-single": 1, "welding-dual": 1, "digit-writing": 1}


def build(name: str):
    """A scene, ready to run. Raises ``ValueError`` for an unknown name, ``ImportError`` without mujoco."""
    if name == "pick-and-place":
        from mmfusion.data.scenes.pick_and_place import PickAndPlace as kind
    elif name == "welding-single":
        from mmfusion.data.scenes.stations import WeldingSingle as kind
    elif name == "welding-dual":
        from mmfusion.data.scenes.stations import WeldingDual as kind
    elif name == "digit-writing":
        from mmfusion.data.scenes.digit_writing import DigitWriting as kind
    else:
        raise ValueError(f"unknown scene {name!r}; known: {', '.join(VERSIONS)}")
    return kind()
