"""The store runtime: reads a bundle and recognises products with numpy and ONNX Runtime alone."""
