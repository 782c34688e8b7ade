"""Klero decides which variant of an experiment each entity gets and learns which one is better."""
