"""Networks in ONNX: what their files claim, and what they are as graphs of OpenVINO."""
