"""ComfyUI's entry point: registers the nodes, nothing else."""

from importlib.util import find_spec

if find_spec("comfy_api") is not None:  # elsewhere this folder is a checkout of hp_core
    from .nodes.extension import comfy_entrypoint

    WEB_DIRECTORY = "./web"

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
