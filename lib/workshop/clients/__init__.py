"""How parts are asked, by the protocols that they speak; a plain word for each way to fail."""
