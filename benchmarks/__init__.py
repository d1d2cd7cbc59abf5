"""Measurements of the service through its public API; ``make bench DATA=FOLDER`` runs them all."""
