"""Datumaro's side of `datumaro_segmask.training`, and of the formats that are read and written."""
