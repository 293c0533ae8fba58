"""Particles in and out: STAR, MRC, cryoSPARC files; ParticleSet; checks."""
