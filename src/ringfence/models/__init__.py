"""Base models: folders of safetensors by digest, checked on the host by header only, loaded in the sandbox only."""
