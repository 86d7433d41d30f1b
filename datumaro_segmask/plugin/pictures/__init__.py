"""The pictures of Datumaro's items."""
