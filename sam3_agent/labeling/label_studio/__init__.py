"""Label Studio's ML backend: masks for its tasks, by the labels of a project, by examples and by clicks."""
