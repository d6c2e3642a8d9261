"""Host halves: one function per thing that a user asks for; the only place where concepts meet."""
