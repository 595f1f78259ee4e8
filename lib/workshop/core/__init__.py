"""What everything else stands on.

Errors, waiting, progress, settings. It knows no part and no target.
"""
