"""``workshop room``: a namespace for each attendee, prepared and checked."""
