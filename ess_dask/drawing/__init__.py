"""Pictures of numbers: pure functions to SVG for pages and notebooks, and to text for terminals."""
