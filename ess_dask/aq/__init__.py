"""The Essentia command language: option lists, expressions, row rules and the aq_* programs."""
