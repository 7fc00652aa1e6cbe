"""A day or a range of days of a project as one HTML file: read by the client, drawn as SVG, without a script."""
