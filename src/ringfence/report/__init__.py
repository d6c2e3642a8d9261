"""Evidence as documents for people: figures in, one standalone page out. It reads no record and decides nothing."""
