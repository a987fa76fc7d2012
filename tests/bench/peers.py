"""The whole attention pass in other libraries, and in ours: each class takes a layer and runs it on numpy arrays.

All compute q, k, v = x W^T + b, scaled dot-product attention per head, and the output projection, in float32 on the CPU.
"""

import ctypes
import os

import numpy as np


class Ours:
    """The service's own pass, with the kernels called `kernels`."""

    class Layer(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("E", "H", "Hkv", "D")] + [
            ("weights", ctypes.c_void_p * 4), ("biases", ctypes.c_void_p * 4)]

    class Call(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("B", "L", "S")] + [
            ("query", ctypes.c_void_p), ("key", ctypes.c_void_p), ("value", ctypes.c_void_p),
            ("causal", ctypes.c_int), ("output", ctypes.c_void_p)]

    def __init__(self, library, layer, threads, kernels="auto"):
        self.library = ctypes.CDLL(os.path.abspath(library))
        self.library.pass_new.restype = ctypes.c_void_p
        self.kept = layer
        described = self.Layer(layer.E, layer.H, layer.Hkv, layer.D,
                               (ctypes.c_void_p * 4)(*[w.ctypes.data for w in layer.weights]),
                               (ctypes.c_void_p * 4)(*[b.ctypes.data for b in layer.biases]))
        self.handle = ctypes.c_void_p(self.library.pass_new(kernels.encode(), b"float32", ctypes.c_size_t(threads),
                                                            ctypes.byref(described)))
        if not self.handle:
            raise RuntimeError(f"no kernels called {kernels} here")

    def prepare(self, query, key, value, causal):
        self.inputs = query, key, value
        self.output = np.empty_like(query)
        self.call = ctypes.byref(self.Call(query.shape[0], query.shape[1], key.shape[1], query.ctypes.data,
                                           key.ctypes.data, value.ctypes.data, int(causal), self.output.ctypes.data))

    def run(self):
        if self.library.pass_run(self.handle, self.call) != 0:
            raise RuntimeError("the pass failed")

    def result(self):
        return self.output

    def close(self):
        self.library.pass_free(self.handle)


class Torch:
    """Linear and scaled_dot_product_attention."""

    def __init__(self, layer, threads):
        import torch
        self.torch, self.layer = torch, layer
        torch.set_num_threads(threads)
        self.threads = threads
        self.weights = [torch.from_numpy(w) for w in layer.weights]
        self.biases = [torch.from_numpy(b) for b in layer.biases]

    def prepare(self, query, key, value, causal):
        self.inputs = [self.torch.from_numpy(x) for x in (query, key, value)]
        L, S = query.shape[1], key.shape[1]
        self.is_causal = causal and L == S
        self.mask = self.torch.ones(L, S, dtype=self.torch.bool).tril(S - L) if causal and L != S else None

    def run(self):
        torch, linear = self.torch, self.torch.nn.functional.linear
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        layer = self.layer
        with torch.inference_mode():
            heads = (layer.H, layer.Hkv, layer.Hkv)
            q, k, v = (linear(x, w, b).unflatten(-1, (h, layer.D)).transpose(1, 2)
                       for x, w, b, h in zip(self.inputs, self.weights, self.biases, heads))
            mixed = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=self.mask, is_causal=self.is_causal, enable_gqa=layer.H != layer.Hkv)
            self.output = linear(mixed.transpose(1, 2).flatten(2), self.weights[3], self.biases[3])

    def result(self):
        return self.output.numpy()

    def close(self):
        pass


class TorchModule(Torch):
    """torch.nn.MultiheadAttention as its users call it, in eval mode and without weights; no grouped heads."""

    def __init__(self, layer, threads):
        super().__init__(layer, threads)
        if layer.H != layer.Hkv:
            raise NotImplementedError
        torch = self.torch
        self.module = torch.nn.MultiheadAttention(layer.E, layer.H, batch_first=True).eval()
        with torch.no_grad():
            self.module.in_proj_weight.copy_(torch.cat(self.weights[:3]))
            self.module.in_proj_bias.copy_(torch.cat(self.biases[:3]))
            self.module.out_proj.weight.copy_(self.weights[3])
            self.module.out_proj.bias.copy_(self.biases[3])

    def run(self):
        torch = self.torch
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.inference_mode():
            query, key, value = self.inputs
            self.output = self.module(query, key, value, need_weights=False)[0]


def projections(helper, layer, names):
    """MatMul and Add nodes with their constants: names of x -> names of x W^T + b."""
    import onnx
    nodes, constants = [], []
    for i, (x, y) in enumerate(names):
        index = 3 if y == "output" else i
        constants += [onnx.numpy_helper.from_array(np.ascontiguousarray(layer.weights[index].T), f"w_{y}"),
                      onnx.numpy_helper.from_array(layer.biases[index], f"b_{y}")]
        nodes += [helper.make_node("MatMul", [x, f"w_{y}"], [f"p_{y}"]),
                  helper.make_node("Add", [f"p_{y}", f"b_{y}"], [y])]
    return nodes, constants


class OnnxRuntime:
    """MatMul and Add around MultiHeadAttention; with grouped heads around GroupQueryAttention where causal and L = S,
    else around ONNX's Attention."""

    def __init__(self, layer, threads):
        self.layer, self.threads, self.sessions = layer, threads, {}

    def attention(self, helper, causal):
        layer = self.layer
        if layer.H == layer.Hkv:
            return helper.make_node("MultiHeadAttention", ["q", "k", "v"], ["mixed"], domain="com.microsoft",
                                    num_heads=layer.H)
        if causal:
            return helper.make_node("GroupQueryAttention", ["q", "k", "v", "", "", "last", "total"], ["mixed"],
                                    domain="com.microsoft", num_heads=layer.H, kv_num_heads=layer.Hkv)
        return helper.make_node("Attention", ["q", "k", "v"], ["mixed"], q_num_heads=layer.H, kv_num_heads=layer.Hkv)

    def session(self, causal):
        import onnx
        import onnxruntime
        helper, layer = onnx.helper, self.layer
        before, constants = projections(helper, layer, [("query", "q"), ("key", "k"), ("value", "v")])
        after, more = projections(helper, layer, [("mixed", "output")])
        tensor = helper.make_tensor_value_info
        inputs = [tensor(name, onnx.TensorProto.FLOAT, ["B", n, layer.E])
                  for name, n in (("query", "L"), ("key", "S"), ("value", "S"))]
        if causal:
            inputs += [tensor("last", onnx.TensorProto.INT32, ["B"]), tensor("total", onnx.TensorProto.INT32, [1])]
        graph = helper.make_graph(before + [self.attention(helper, causal)] + after, "attention", inputs,
                                  [tensor("output", onnx.TensorProto.FLOAT, ["B", "L", layer.E])], constants + more)
        model = helper.make_model(graph, ir_version=10, opset_imports=[
            helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def prepare(self, query, key, value, causal):
        B, L, S = query.shape[0], query.shape[1], key.shape[1]
        if causal and L != S:
            raise NotImplementedError
        if causal not in self.sessions:
            self.sessions[causal] = self.session(causal)
        self.current = self.sessions[causal]
        self.feed = {"query": query, "key": key, "value": value}
        if causal:
            self.feed |= {"last": np.full(B, S - 1, np.int32), "total": np.array([S], np.int32)}

    def run(self):
        self.output = self.current.run(None, self.feed)[0]

    def result(self):
        return self.output

    def close(self):
        self.sessions.clear()


class OpenVino:
    """MatMul, Add and ScaledDotProductAttention, compiled for latency, for each shape anew."""

    def __init__(self, layer, threads):
        import openvino
        self.openvino, self.layer, self.threads = openvino, layer, threads

    def prepare(self, query, key, value, causal):
        import openvino.opset13 as op
        layer = self.layer
        if causal and query.shape[1] != key.shape[1]:
            raise NotImplementedError
        inputs = [op.parameter(x.shape, np.float32) for x in (query, key, value)]

        def linear(x, i):
            return op.add(op.matmul(x, op.constant(layer.weights[i]), False, True), op.constant(layer.biases[i]))

        def heads(x, rows, count):
            split = op.transpose(op.reshape(x, [query.shape[0], rows, count, layer.D], False), [0, 2, 1, 3])
            if count == layer.H:
                return split
            times = layer.H // count
            wide = op.broadcast(op.unsqueeze(split, 2), [query.shape[0], count, times, rows, layer.D])
            return op.reshape(wide, [query.shape[0], layer.H, rows, layer.D], False)

        L, S = query.shape[1], key.shape[1]
        q, k, v = (heads(linear(x, i), rows, count) for i, (x, rows, count) in
                   enumerate(zip(inputs, (L, S, S), (layer.H, layer.Hkv, layer.Hkv))))
        mixed = op.scaled_dot_product_attention(q, k, v, causal=causal)
        flat = op.reshape(op.transpose(mixed, [0, 2, 1, 3]), [query.shape[0], L, layer.H * layer.D], False)
        model = self.openvino.Model([linear(flat, 3)], inputs)
        compiled = self.openvino.Core().compile_model(model, "CPU", {
            "INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
        self.request = compiled.create_infer_request()
        self.inputs = [query, key, value]
        for i, x in enumerate(self.inputs):
            self.request.set_input_tensor(i, self.openvino.Tensor(x, shared_memory=True))

    def run(self):
        self.request.infer()

    def result(self):
        return self.request.get_output_tensor(0).data

    def close(self):
        self.request = None
