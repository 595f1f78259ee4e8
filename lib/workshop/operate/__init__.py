"""Notebooks 08, 09 and 10, and the doctor: running parts are secured, watched, scaled, examined."""
