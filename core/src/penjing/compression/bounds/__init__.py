"""What every channel of a model can be, proven from the range of its inputs.

- `calls`: a model as a list of layer calls, nested models opened.
- `intervals`: interval arithmetic per channel, with room for float32 rounding.
- `curves`: activations as intervals see them.
- `kernel_bounds`, `activation_bounds`, `merge_bounds`, `form_bounds`, `layer_bounds`: what each kind of layer does.
- `propagation`: bounds of every tensor of a model.
"""
