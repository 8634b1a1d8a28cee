"""What is in the columns of a category: figures that add up exactly, whatever the batches."""
