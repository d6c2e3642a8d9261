"""The words everyone shares: records, statements, policy rules, settings, errors. No files, no network."""
