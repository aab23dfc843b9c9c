"""What every other package uses: checked configuration, types, files and locks, progress, signals, processes."""
