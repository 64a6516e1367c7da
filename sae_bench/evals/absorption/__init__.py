"""Absorption: letters that latents for single words take over from the latent of the letter."""
