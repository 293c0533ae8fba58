"""What jobs take from files and folders: one image, and the settings that images were taken with."""

from dataclasses import replace

import numpy as np
import pytest

from vitreous.averages.class_choice import ClassChoice
from vitreous.jobs.manifest import new_manifest, write_manifest
from vitreous.jobs.sources import inherited, one_image
from vitreous.jobs.tasks.model_bias import Reference
from vitreous.particles import Volume, write_mrc_stack, write_volume


@pytest.fixture
def a_map(tmp_path):
    write_volume(tmp_path / "map.mrc", Volume(data=np.ones((8, 8, 8), np.float32), pixel_size_A=2.0))
    return tmp_path / "map.mrc"


def test_a_map_is_no_image(a_map):
    """Its first section would be taken for a picture of it."""
    with pytest.raises(ValueError, match=r"map\.mrc is a map of 8³ voxels; expected an image"):
        one_image(a_map)
    stack = np.stack([np.full((8, 8), k, np.float32) for k in (3, 4)])
    write_mrc_stack(a_map.with_name("stack.mrcs"), stack, 2.0)
    np.testing.assert_array_equal(one_image(a_map.with_name("stack.mrcs")), stack[0])


def test_what_does_not_concern_a_reference_is_refused(a_map):
    with pytest.raises(ValueError, match=r"number: .* is a map, which is projected; it has no image 2"):
        Reference(reference=a_map, number=2).image()
    stack = a_map.with_name("stack.mrcs")
    write_mrc_stack(stack, np.ones((2, 8, 8), np.float32), 0.0)
    with pytest.raises(ValueError, match="angles are for the projection of a map"):
        Reference(reference=stack, tilt_deg=30.0).image()
    image, pixel_size_A, said = Reference(reference=stack, number=2).image()
    assert (image.shape, pixel_size_A) == ((8, 8), 1.0)
    assert said == "image 2 of 2 (its header has no pixel size; 1 Å is taken)"


@pytest.mark.parametrize("task", ["class2d", "mra", "isac", "align", "msa"])
def test_classes_are_judged_as_their_images_were_taken(tmp_path, task):
    made = new_manifest(task, {"invert_contrast": True, "ctf": False, "normalise": True}, seed=0)
    write_manifest(tmp_path, replace(made, summary={"particle_diameter_used_A": 120.0}))
    taken, notes = inherited(ClassChoice(), tmp_path / "data.star")
    assert (taken.particle_diameter_A, taken.invert_contrast, taken.ctf) == (120.0, True, False)
    assert notes == ("as in the classification: particle_diameter_A 120, ctf False, invert_contrast True",)
