"""The catalogue: what each task is, as data."""

from xadapt.tasks.catalogue import CATALOGUE, XTREME, XTREME_R, Catalogue, task_named
from xadapt.tasks.task import File, Hub, Task, asked

__all__ = ["CATALOGUE", "XTREME", "XTREME_R", "Catalogue", "File", "Hub", "Task", "asked", "task_named"]
