"""The closed table of jobs, how the host starts one, and the child's entry."""
