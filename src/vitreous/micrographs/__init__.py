"""Micrographs: read, clean, filter, pick, cut into boxes."""

from vitreous.micrographs.algorithm import PickedMicrograph, PickState, pick_algorithm
from vitreous.micrographs.boxes import box_places, cut_boxes, finished_boxes, within
from vitreous.micrographs.coordinates import Coordinates, coordinates_of_job, read_coordinates
from vitreous.micrographs.ctf_estimate import CTFEstimate, estimate_ctf
from vitreous.micrographs.ctf_many import CTFState, EstimatedMicrograph, ctf_algorithm
from vitreous.micrographs.ctf_microscopes import MicroscopeGiven, microscopes_of
from vitreous.micrographs.ctf_quality import CTFProfile
from vitreous.micrographs.ctf_settings import EstimateCTF, Microscope
from vitreous.micrographs.diameter import DiameterGuess, guess_diameter
from vitreous.micrographs.extraction import BoxPlan, ExtractState, extract_algorithm, stack_name
from vitreous.micrographs.listing import ListedMicrograph, list_micrographs, same_micrographs
from vitreous.micrographs.pick import Picks, pick_micrograph, working_pixel_A
from vitreous.micrographs.reading import Micrograph, read_micrograph
from vitreous.micrographs.settings import Extract, Pick
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
    "BoxPlan",
    "CTFEstimate",
    "CTFProfile",
    "CTFState",
    "Coordinates",
    "DiameterGuess",
    "EstimateCTF",
    "EstimatedMicrograph",
    "Extract",
    "ExtractState",
    "ListedMicrograph",
    "Micrograph",
    "Microscope",
    "MicroscopeGiven",
    "Pick",
    "PickState",
    "PickedMicrograph",
    "Picks",
    "ball_templates",
    "box_places",
    "coordinates_of_job",
    "ctf_algorithm",
    "cut_boxes",
    "estimate_ctf",
    "extent_of_images",
    "extent_of_map",
    "extract_algorithm",
    "finished_boxes",
    "guess_diameter",
    "image_templates",
    "list_micrographs",
    "microscopes_of",
    "pick_algorithm",
    "pick_micrograph",
    "projection_templates",
    "read_coordinates",
    "read_micrograph",
    "rotated_bank",
    "same_micrographs",
    "stack_name",
    "within",
    "working_pixel_A",
]
