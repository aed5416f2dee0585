"""Files of weights, as small as their formats let them be."""

import json


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    size, length = len(content), b""
    while size > 0x7F:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def make_graph(node: bytes = b"\x22\x03Add") -> bytes:
    """An ONNX file as far as its outer structure goes: a version, a producer, one node in a graph, opset."""
    graph = field(1, node) + field(2, b"main")
    return b"\x08\x08" + field(2, b"tests") + field(7, graph) + field(8, b"\x10\x11")


def make_safetensors(tensor_bytes: int = 8) -> bytes:
    """A safetensors file of one tensor."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [tensor_bytes], "data_offsets": [0, tensor_bytes]}})
    return len(header).to_bytes(8, "little") + header.encode() + bytes(tensor_bytes)
