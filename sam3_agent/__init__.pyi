"""Public names of the package and the modules that define them; `__init__.py` imports each at its first use."""

from sam3_agent.errors import Busy as Busy
from sam3_agent.errors import Cancelled as Cancelled
from sam3_agent.errors import InputError as InputError
from sam3_agent.errors import LLMConfigError as LLMConfigError
from sam3_agent.errors import LLMError as LLMError
from sam3_agent.errors import ModelUnavailable as ModelUnavailable
from sam3_agent.errors import Sam3AgentError as Sam3AgentError
from sam3_agent.errors import ToolError as ToolError
from sam3_agent.errors import UnknownHandle as UnknownHandle
from sam3_agent.loop.agent import Agent as Agent
from sam3_agent.loop.load_llm import load_llm as load_llm
from sam3_agent.loop.toolkit import Toolkit as Toolkit
from sam3_agent.masks import Box as Box
from sam3_agent.masks import Rle as Rle
from sam3_agent.model.replicas import load_replicas as load_replicas
from sam3_agent.model.replicas import load_segmenter as load_segmenter
from sam3_agent.model.request_context import calling as calling
from sam3_agent.model.sam3 import Sam3 as Sam3
from sam3_agent.model.scheduler import Scheduler as Scheduler
from sam3_agent.training.finetuning.finetune import finetune as finetune
from sam3_agent.training.teaching.teach import teach as teach
from sam3_agent.training.teaching.views import TeachingImage as TeachingImage
from sam3_agent.types import Answer as Answer
from sam3_agent.types import ClickPrompt as ClickPrompt
from sam3_agent.types import ClickSegmentation as ClickSegmentation
from sam3_agent.types import Concept as Concept
from sam3_agent.types import ConceptPrompt as ConceptPrompt
from sam3_agent.types import Exemplar as Exemplar
from sam3_agent.types import ExemplarTokens as ExemplarTokens
from sam3_agent.types import Instance as Instance
from sam3_agent.types import ModelInfo as ModelInfo
from sam3_agent.types import Segmentation as Segmentation
from sam3_agent.types import Step as Step
from sam3_agent.types import Trace as Trace
from sam3_agent.types import Usage as Usage
from sam3_agent.workspace import Workspace as Workspace

__version__: str
