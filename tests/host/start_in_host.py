"""Run by ComfyUI's own Python: what importing the pack and asking for every block's schema adds to a ComfyUI that is up already.

Arguments: the checkout of ComfyUI, the folder of the pack. Prints JSON: seconds of the processor's time, packages that are new.
"""

import asyncio
import importlib.util
import json
import sys
import time

checkout, folder = sys.argv[1:3]
sys.path.insert(0, checkout)
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import comfy.sd  # noqa: E402, F401

import nodes  # noqa: E402, F401

before, began = set(sys.modules), time.process_time()
spec = importlib.util.spec_from_file_location("pack", f"{folder}/__init__.py", submodule_search_locations=[folder])
sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
extension = asyncio.run(module.comfy_entrypoint())
for node in asyncio.run(extension.get_node_list()):
    node.GET_NODE_INFO_V1()
seconds = time.process_time() - began
packages = sorted({name.split(".")[0] for name in set(sys.modules) - before})
sys.stdout.write(json.dumps({"seconds": round(seconds, 3), "packages": packages}) + "\n")
