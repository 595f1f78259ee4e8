"""What is done with parts that run: make them safe, watch them, scale them, find faults."""
