"""Journal frames and tallies: messages generated from `proto/klero/storage/v1`, never edited."""
