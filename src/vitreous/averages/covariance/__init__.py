"""Mean and covariance of the clean images, and the covariance Wiener filter, in a steerable basis.

Notation: image i has coefficients a_i in a :class:`vitreous.fourier.FourierBessel` basis and obeys
``y_i = C_i E a_i + n_i``: E evaluates, C_i is the CTF on the whole box, n_i noise of power sigma^2(k). All that the
pixels say about a_i is in its *matched coefficients* and the *information* of its defocus group,

    z_i = E^T C_i sigma^-2 y_i,     K = E^T C^2 sigma^-2 E,     z_i = K a_i + noise of covariance K.

Signal that the CTF has thrown out of the disc is collected again, astigmatism keeps its sign, and coloured noise is
whitened on the way. With a CTF A that acts within the basis and white noise, ``z = A y / s^2`` and ``K = A^2 / s^2``,
and everything here is the formula of SCIENCE.md section 6. Rotations and mirrors of a set of images make every
covariance block diagonal in the angular order, and each block real.
"""

from vitreous.averages.covariance.estimate import (
    estimate_covariance,
    estimate_mean,
    optimal_shrinkage,
)
from vitreous.averages.covariance.filter import DenoisedCoefficients, posterior_covariance, wiener_filter
from vitreous.averages.covariance.groups import DefocusGroups, defocus_groups, information_blocks
from vitreous.averages.covariance.jury import Verdict, log_gain, verdict
from vitreous.averages.covariance.matched import matched_coefficients, white_noise_variance
from vitreous.averages.covariance.moments import Moments, add_moments, empty_moments, merge_moments
from vitreous.averages.covariance.noise import background_response, smooth_spectrum, unknown_plane
from vitreous.averages.covariance.prepare import (
    MatchedImages,
    SteerablePlan,
    prepare_matched,
    steerable_plan,
    working_images,
)
from vitreous.averages.covariance.principal import (
    PrincipalBasis,
    from_principal,
    principal_basis,
    principal_blocks,
    to_principal,
)
from vitreous.averages.covariance.prior import ImagePrior
from vitreous.averages.covariance.survey import Excess, bulk_level, choose_cutoff, excess_power

__all__ = [
    "DefocusGroups",
    "DenoisedCoefficients",
    "Excess",
    "ImagePrior",
    "MatchedImages",
    "Moments",
    "PrincipalBasis",
    "SteerablePlan",
    "Verdict",
    "add_moments",
    "background_response",
    "bulk_level",
    "choose_cutoff",
    "defocus_groups",
    "empty_moments",
    "estimate_covariance",
    "estimate_mean",
    "excess_power",
    "from_principal",
    "information_blocks",
    "log_gain",
    "matched_coefficients",
    "merge_moments",
    "optimal_shrinkage",
    "posterior_covariance",
    "prepare_matched",
    "principal_basis",
    "principal_blocks",
    "smooth_spectrum",
    "steerable_plan",
    "to_principal",
    "unknown_plane",
    "verdict",
    "white_noise_variance",
    "wiener_filter",
    "working_images",
]
