"""The parts: what each must be, and how it is proven. One module per part."""
