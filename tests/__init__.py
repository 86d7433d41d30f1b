"""The tests, numbered by layer: the first red file names the layer that is broken."""
