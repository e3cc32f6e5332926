"""Lists of files with their digests, as other programs write and read them. Text only: nothing here opens a file."""
