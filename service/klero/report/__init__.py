"""What people look at: tables of results. Computes nothing, it only sets out what was computed."""
