"""Micrographs: read, clean, filter, pick."""

from vitreous.micrographs.algorithm import PickedMicrograph, PickState, pick_algorithm
from vitreous.micrographs.listing import ListedMicrograph, list_micrographs
from vitreous.micrographs.pick import Picks, pick_micrograph, working_pixel_A
from vitreous.micrographs.reading import Micrograph, read_micrograph
from vitreous.micrographs.settings import Pick
from vitreous.micrographs.templates import (
    Bank,
    ball_templates,
    extent_of_images,
    extent_of_map,
    image_templates,
    projection_templates,
    rotated_bank,
)

__all__ = [
    "Bank",
    "ListedMicrograph",
    "Micrograph",
    "Pick",
    "PickState",
    "PickedMicrograph",
    "Picks",
    "ball_templates",
    "extent_of_images",
    "extent_of_map",
    "image_templates",
    "list_micrographs",
    "pick_algorithm",
    "pick_micrograph",
    "projection_templates",
    "read_micrograph",
    "rotated_bank",
    "working_pixel_A",
]
