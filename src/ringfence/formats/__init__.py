"""What other tools load: merged weights and GGUF files, each compared with the adapter that it stands for."""
