"""A page that scores uploaded radiographs, from one or several model files."""
