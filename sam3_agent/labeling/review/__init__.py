"""Review of labels in the browser: `decisions` keeps them, `refine` segments again, `server` serves the page."""
