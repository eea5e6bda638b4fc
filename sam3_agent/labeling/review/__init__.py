"""Review in the browser: labels of images and tracks of videos, decided, segmented again, and served."""
