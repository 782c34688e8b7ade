"""`klero demo`: two experiments from start to verdict, on a server of their own."""
