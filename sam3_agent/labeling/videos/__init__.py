"""Labels of videos: a track is one label."""
