"""How good is it: FRC and FSC, SSNR, resolution."""
