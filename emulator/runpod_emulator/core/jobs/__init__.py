"""One job: its record, its transitions, its deadlines, and what a store keeps of it. Knows no worker."""
