"""What everything else stands on: errors, waiting, progress, settings. It knows no part."""
