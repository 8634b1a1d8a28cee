"""What files there are: datastores, categories, dates in names, the listing index, probing."""
