"""`sam3-agent ask` about a video, as a person calls it; the model is the embedded one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam3_agent.cli.app import app
from sam3_agent.video.writing import write_video
