"""What is safe: by directory, by file, by drive, and what would be lost if drives died."""
