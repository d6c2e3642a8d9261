"""One file per detector; being here is being registered."""
