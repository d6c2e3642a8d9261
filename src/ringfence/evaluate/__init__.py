"""What a run says of rows, beside what its base model says of them."""
