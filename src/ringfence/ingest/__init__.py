"""Files and tables become records: readers, layouts, ids. The child half is `job.py`."""
