"""What must survive a crash: the inbox, incidents with their journal, and what is known good."""
