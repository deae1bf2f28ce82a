"""What tests script: answers and faults."""
