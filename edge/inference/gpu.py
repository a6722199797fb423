"""The engine that runs a network on the GPU, through LiteRT's CompiledModel."""

import ctypes
import os
import platform
from typing import Any

import numpy as np

from ..errors import DelegateUnavailable
from .engine import Source, nodes, one_line, parse_model
from .tensors import Array

VULKAN_LOADER = "libvulkan.so.1"
_CREATE_INSTANCE = 1  # VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
_SOFTWARE = 4  # VK_PHYSICAL_DEVICE_TYPE_CPU


class GpuEngine:
    """A network that runs completely on the GPU, in float32 arithmetic.

    Completely: when the runtime splits a network between GPU and CPU, as it does with 16-bit activations, the outputs
    were found to be wrong. In float32: in half precision they would differ from the CPU's by more than the gate
    allows for a variant.

    Args:
        model: a .tflite file, or its content.
        loader: file name of the Vulkan loader.

    Raises:
        DelegateUnavailable: there is no GPU or no driver, or the GPU does not take every operator.
        ModelFileError: the runtime refuses the model.
        MissingExtra: no runtime is installed.
    """

    def __init__(self, model: Source, loader: str = VULKAN_LOADER) -> None:
        graph = parse_model(model)  # first, so that a damaged file is not reported as a missing GPU
        self.operators = nodes(graph)
        self.inputs, self.outputs = graph.get_input_details(), graph.get_output_details()
        if missing := missing_for_gpu(loader):
            raise DelegateUnavailable(f"delegate gpu: {missing}")
        try:
            self._model = _compile(model)
            if not self._model.is_fully_accelerated():
                raise RuntimeError("Some ops are not accelerated")
            self._input_buffers = self._model.create_input_buffers(0)
            self._output_buffers = self._model.create_output_buffers(0)
        except (RuntimeError, ValueError) as error:
            raise DelegateUnavailable(f"delegate gpu: {_cause(error)}") from error
        # CompiledModel lists the outputs in the order of the model's signature, the interpreter in that of the graph.
        key = next(iter(self._model.get_signature_list()))
        listed = [details["index"] for details in self._model.get_output_tensor_details(key).values()]
        self._order = [listed.index(details["index"]) for details in self.outputs]
        self._input = np.empty(self.inputs[0]["shape"], self.inputs[0]["dtype"])

    def input(self) -> Array:
        return self._input

    def run(self) -> list[Array]:
        self._input_buffers[0].write(self._input)
        # Returns at once; reading an output waits for the GPU.
        self._model.run_by_index(0, self._input_buffers, self._output_buffers)
        return [
            self._output_buffers[place].read(int(np.prod(details["shape"])), details["dtype"]).reshape(details["shape"])
            for place, details in zip(self._order, self.outputs, strict=True)
        ]


def missing_for_gpu(loader: str = VULKAN_LOADER) -> str:
    """Say what this device lacks to run any model on the GPU, and what to install; empty if nothing is known.

    The runtime writes its reason to standard error only, so the usual reasons are checked here.
    """
    try:
        import ai_edge_litert.compiled_model  # noqa: F401 - only to see whether it is there
    except ImportError:
        return "LiteRT is not installed; pip install 'ai-edge-litert>=2.1'"
    if platform.system() != "Linux":
        return ""  # macOS and Windows have GPU interfaces of their own
    try:
        found = adapters(loader)
    except OSError:
        return f"there is no Vulkan loader ({loader}); install it with the GPU's driver, on Debian libvulkan1"
    if not found:
        return "Vulkan finds no graphics adapter; install the GPU's Vulkan driver, on Debian mesa-vulkan-drivers"
    return ""


def software_only(loader: str = VULKAN_LOADER) -> str:
    """Return the name of the first adapter if all adapters are software GPUs on the CPU; otherwise an empty string."""
    try:
        found = adapters(loader) if platform.system() == "Linux" else []
    except OSError:
        return ""
    return found[0][0] if found and all(is_software for _, is_software in found) else ""


class _InstanceCreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


class _DeviceProperties(ctypes.Structure):
    """VkPhysicalDeviceProperties; `rest` is larger than the fields that are not used here."""

    _fields_ = (
        ("versions_and_makers", ctypes.c_uint32 * 4),
        ("kind", ctypes.c_int),
        ("name", ctypes.c_char * 256),
        ("rest", ctypes.c_char * 4096),
    )


def adapters(loader: str = VULKAN_LOADER) -> list[tuple[str, bool]]:
    """List Vulkan's graphics adapters: the name of each, and whether it is a software GPU on the CPU.

    Raises:
        OSError: there is no Vulkan loader.
    """
    vulkan = ctypes.CDLL(loader)
    instance, count = ctypes.c_void_p(), ctypes.c_uint32()
    if vulkan.vkCreateInstance(ctypes.byref(_InstanceCreateInfo(_CREATE_INSTANCE)), None, ctypes.byref(instance)):
        return []
    try:
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        devices = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
        found = []
        for device in devices[: count.value]:
            about = _DeviceProperties()
            vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), ctypes.byref(about))
            found.append((about.name.decode(errors="replace"), about.kind == _SOFTWARE))
        return found
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _compile(model: Source) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options

    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=True))
    if isinstance(model, bytes):
        return CompiledModel.from_buffer(model, options=options)
    return CompiledModel.from_file(os.fspath(model), options=options)


def _cause(error: Exception) -> str:
    reason = one_line(error)
    if "not accelerated" in reason:
        return "it does not take every operator of this model; convert the model to float32, float16 or int8"
    return f"the runtime cannot compile the model ({reason}); update the GPU's driver, or run without this delegate"
