"""The label X-ray: what carries loss, seen in the tensors of training's own batches before the first step."""
