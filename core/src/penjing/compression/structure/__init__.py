"""Which channels of a model hang together, and models with fewer of them.

- `units`: units (channels, recurrent units, attention heads) and the ties between them.
- `rules`: what each kind of layer does to channels.
- `graph`: the channel graph of a model, its groups, and how they explain themselves.
- `copying`, `replacement`: a layer once more, other layers in its place.
- `surgery`: the model without some of its units.
- `cost`: MACs and parameters as a function of what is left.
"""
