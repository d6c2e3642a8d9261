"""De-identification: find what names a person or opens a door, replace it consistently, show that nothing was left."""
