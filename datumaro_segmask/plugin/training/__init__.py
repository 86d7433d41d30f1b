"""Datumaro's side of `datumaro_segmask.training`."""
