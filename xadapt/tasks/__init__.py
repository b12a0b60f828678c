"""The catalogue: what each task is, as data."""

from xadapt.tasks.catalogue import CATALOGUE, task_named
from xadapt.tasks.task import File, Hub, Task

__all__ = ["CATALOGUE", "File", "Hub", "Task", "task_named"]
