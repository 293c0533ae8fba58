"""What other programs call what our settings say: facts about them, and the only place for such facts.

RELION's options are those of ``relion_refine --help`` and its companions (3.1 to 5). cryoSPARC's are the words in its
public guide (4 and 5) and in programs that fill its job pages in, where the guide does not have them. EMAN2's and
SPHIRE's are the options in the source of their programs (repository of June 2026). What could not be looked up is not
here, and neither is what has no counterpart, or one of another kind. Nothing has to be edited when a command or a
setting is new: the tables are made from the code.
"""

__all__ = ["COMMANDS", "EVERYWHERE", "PROGRAMS", "SETTINGS"]

PROGRAMS = {"relion": "RELION", "cryosparc": "cryoSPARC", "eman2": "EMAN2"}

COMMANDS: dict[str, dict[str, str]] = {  # our command -> what does the same in another program
    "pick": {
        "relion": "Auto-picking (`relion_autopick`)",
        "cryosparc": "Template Picker",
        "eman2": "`e2boxer.py`",
    },
    "extract": {
        "relion": "Particle extraction (`relion_preprocess`)",
        "cryosparc": "Extract From Micrographs",
        "eman2": "`e2boxer.py --write_ptcls`",
    },
    "ctf": {"relion": "CTF estimation (CTFFIND, Gctf)", "cryosparc": "Patch CTF Estimation", "eman2": "`e2ctf.py`"},
    "class2d": {"relion": "2D classification", "cryosparc": "2D Classification", "eman2": "`e2refine2d.py`"},
    "isac": {"eman2": "`sp_isac2.py` of SPHIRE"},
    "select": {"relion": "Subset selection", "cryosparc": "Select 2D Classes", "eman2": "`e2evalparticles.py`"},
    "abinitio": {
        "relion": "3D initial reference",
        "cryosparc": "Ab-Initio Reconstruction",
        "eman2": "`e2initialmodel.py`, `e2spa_sgd.py`",
    },
    "initial": {"eman2": "`e2initialmodel.py`"},
    "class3d": {
        "relion": "3D classification",
        "cryosparc": "3D Classification; Heterogeneous Refinement",
        "eman2": "`e2refinemulti.py`",
    },
    "refine": {
        "relion": "3D auto-refine",
        "cryosparc": "Homogeneous Refinement",
        "eman2": "`e2refine_easy.py`, `e2spa_refine.py`",
    },
    "reconstruct": {
        "relion": "`relion_reconstruct`",
        "cryosparc": "Homogeneous Reconstruction Only",
        "eman2": "`e2make3dpar.py`",
    },
    "postprocess": {
        "relion": "Mask creation, post-processing, local resolution",
        "cryosparc": "Sharpening Tools; Local Resolution Estimation; Validation (FSC)",
        "eman2": "`e2refine_postprocess.py`",
    },
    "project": {"relion": "`relion_project`", "eman2": "`e2project3d.py`"},
}

EVERYWHERE: dict[str, dict[str, str]] = {  # setting, whatever the command
    "particle_diameter_A": {"relion": "--particle_diameter"},
    "symmetry": {"relion": "--sym", "cryosparc": "Symmetry", "eman2": "--sym"},
    "seed": {"relion": "--random_seed", "cryosparc": "Random seed"},
    "ctf": {"relion": "--ctf"},
    "pixel_size_A": {"relion": "--angpix", "eman2": "--apix"},
    "project": {"relion": "the folder that RELION was started in"},
    "threads": {"relion": "--j", "eman2": "--threads"},
    "device": {"relion": "--gpu"},
}

SETTINGS: dict[str, dict[str, dict[str, str]]] = {  # command -> setting -> program -> its name there
    "ctf": {
        "voltage_kV": {"relion": "--HT", "cryosparc": "Accelerating voltage (kV), of the import", "eman2": "--voltage"},
        "cs_mm": {"relion": "--CS", "cryosparc": "Spherical aberration (mm), of the import", "eman2": "--cs"},
        "amplitude_contrast": {"relion": "--AmpCnst", "cryosparc": "Amplitude Contrast", "eman2": "--ac, in percent"},
        "lowest_defocus_A": {
            "relion": "--dFMin",
            "cryosparc": "Minimum search defocus (A)",
            "eman2": "--defocusmin, in µm",
        },
        "highest_defocus_A": {
            "relion": "--dFMax",
            "cryosparc": "Maximum search defocus (A)",
            "eman2": "--defocusmax, in µm",
        },
        "low_resolution_A": {"relion": "--ResMin", "cryosparc": "Minimum resolution (A)"},
        "high_resolution_A": {"relion": "--ResMax", "cryosparc": "Maximum resolution (A)"},
    },
    "pick": {
        "templates": {"relion": "--ref", "cryosparc": "the input Templates"},
        "diameter_A": {
            "relion": "--particle_diameter",
            "cryosparc": "Particle diameter (A)",
            "eman2": "--ptclsize, in pixels",
        },
        "false_picks": {"relion": "--threshold"},
        "distance_A": {
            "relion": "--min_distance",
            "cryosparc": "Min. separation dist (diameters)",
        },
    },
    "extract": {
        "box_px": {"relion": "--extract_size", "cryosparc": "Extraction box size (pix)", "eman2": "--boxsize"},
        "downsample_to_px": {"relion": "--scale", "cryosparc": "Fourier crop to box size (pix)"},
        "diameter_A": {"relion": "--bg_radius, in pixels, of the background"},
        "recenter": {"relion": "--recenter", "cryosparc": "Recenter using aligned shifts"},
        "invert_contrast": {"relion": "--invert_contrast", "eman2": "--invert"},
        "normalise": {"relion": "--norm"},
    },
    "class2d": {
        "classes": {"relion": "--K", "cryosparc": "Number of 2D Classes", "eman2": "--ncls"},
        "particle_diameter_A": {"relion": "--particle_diameter", "cryosparc": "Circular mask diameter (A)"},
        "offset_range_A": {"relion": "--offset_range, in pixels", "eman2": "--maxshift, in pixels"},
        "resolution_limit_A": {"relion": "--strict_highres_exp", "cryosparc": "Maximum alignment res (A)"},
        "choice": {"cryosparc": "Force Max over poses/shifts"},
        "iterations": {
            "relion": "--iter",
            "cryosparc": "Number of online-EM iterations",
            "eman2": "--iter",
        },
        "tau2_fudge": {"relion": "--tau2_fudge"},
        "subset": {"relion": "--grad_ini_subset", "cryosparc": "Batchsize per class"},
    },
    "isac": {
        "img_per_grp": {"eman2": "--img_per_grp"},
        "particle_diameter_A": {"eman2": "--radius, in pixels, half of it"},
        "threshold_px": {"eman2": "--thld_err"},
        "seed": {"eman2": "--rand_seed"},
    },
    "abinitio": {
        "volumes": {"relion": "--K", "cryosparc": "Number of Ab-Initio classes", "eman2": "--ncls"},
        "resolution_limit_A": {"cryosparc": "Maximum resolution (Angstroms)"},
        "iterations": {"relion": "--iter", "eman2": "--iter"},
        "tau2_fudge": {"relion": "--tau2_fudge"},
        "starts": {"eman2": "--tries"},
    },
    "initial": {"restarts": {"eman2": "--tries"}, "passes": {"eman2": "--iter"}},
    "class3d": {
        "classes": {"relion": "--K", "cryosparc": "Number of classes", "eman2": "--nmodels"},
        "alignment": {"relion": "--skip_align"},
        "initial_lowpass_A": {"relion": "--ini_high"},
        "resolution_limit_A": {"relion": "--strict_highres_exp"},
        "offset_range_A": {"relion": "--offset_range, in pixels"},
        "iterations": {"relion": "--iter", "eman2": "--iter"},
    },
    "refine": {
        "reference": {"relion": "--ref", "cryosparc": "the input Initial volume", "eman2": "--model, --ref"},
        "mask": {"relion": "--solvent_mask", "cryosparc": "the input Mask", "eman2": "--mask"},
        "initial_lowpass_A": {"relion": "--ini_high", "cryosparc": "Initial lowpass resolution (A)", "eman2": "--res"},
        "resolution_limit_A": {
            "relion": "--strict_highres_exp",
            "cryosparc": "Maximum align resolution (A)",
            "eman2": "--targetres",
        },
        "offset_range_A": {"relion": "--offset_range, in pixels"},
        "search": {"relion": "--auto_local_healpix_order"},
        "iterations": {"relion": "--auto_iter_max", "eman2": "--iter, --niter"},
        "refine_defocus": {"relion": "CTF refinement", "cryosparc": "Optimize per-particle defocus"},
        "refine_scale": {"relion": "--scale", "cryosparc": "Minimize over per-particle scale"},
    },
    "postprocess": {
        "half_maps": {"relion": "--i, --i2"},
        "mask": {"relion": "--mask"},
        "b_factor_A2": {"relion": "--adhoc_bfac"},
        "mask_threshold": {"relion": "--ini_threshold"},
        "mask_extend_A": {"relion": "--extend_inimask, in pixels"},
        "mask_edge_A": {"relion": "--width_soft_edge, in pixels"},
        "mask_filter_A": {"relion": "--lowpass"},
    },
    "project": {
        "poses": {"relion": "--ang"},
        "views": {"relion": "--nr_uniform"},
        "directions": {"eman2": "--orientgen"},
    },
}
