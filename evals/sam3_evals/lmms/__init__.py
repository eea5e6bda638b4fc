"""lmms-eval: a dataset of ours as a task of it, scored as here; its logs are read by `import_predictions`."""
