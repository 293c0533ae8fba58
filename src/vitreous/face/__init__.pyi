"""The public names of the Python face; :mod:`vitreous.lazy` reads this list."""

from vitreous.face.calls import call_of as call_of
from vitreous.face.result import Result as Result
