"""Any dataset to files: what all our exports have in common, and the archive of masks."""
