"""Trunkline inside others' frameworks: a package each, which alone imports the framework."""
