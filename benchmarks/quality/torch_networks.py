"""The two networks in PyTorch, with Keras' paddings, names and weights. Data come as Keras has them, channels last."""

from __future__ import annotations

import torch
from torch import nn
from weights_exchange import Layers

# Keras' BatchNormalization: epsilon 1e-3, momentum 0.99 (PyTorch counts what is new).
_NORM = {"eps": 1e-3, "momentum": 0.01}


class DsCnn(nn.Module):
    """`architectures.ds_cnn`, without the softmax."""

    def __init__(self) -> None:
        super().__init__()
        # 'same' of a 10x4 kernel with stride 2 on 49x10: one more row below than above.
        self.pad = nn.ZeroPad2d((1, 1, 4, 5))
        self.stem = nn.Conv2d(1, 64, (10, 4), stride=2)
        self.stem_norm = nn.BatchNorm2d(64, **_NORM)
        self.stem_dropout = nn.Dropout(0.2)
        for number in range(1, 5):
            self.add_module(f"depthwise{number}", nn.Conv2d(64, 64, 3, padding=1, groups=64))
            self.add_module(f"depthwise{number}_norm", nn.BatchNorm2d(64, **_NORM))
            self.add_module(f"pointwise{number}", nn.Conv2d(64, 64, 1))
            self.add_module(f"pointwise{number}_norm", nn.BatchNorm2d(64, **_NORM))
        self.dropout = nn.Dropout(0.4)
        self.pool = nn.AvgPool2d((24, 5))
        self.classes = nn.Linear(64, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 12) of features (n, 49, 10, 1)."""
        x = x.permute(0, 3, 1, 2)
        x = self.stem_dropout(torch.relu(self.stem_norm(self.stem(self.pad(x)))))
        for number in range(1, 5):
            for kind in ("depthwise", "pointwise"):
                x = getattr(self, f"{kind}{number}")(x)
                x = torch.relu(getattr(self, f"{kind}{number}_norm")(x))
        return self.classes(torch.flatten(self.pool(self.dropout(x)), 1))


class ResNet8(nn.Module):
    """`architectures.resnet8`, without the softmax."""

    def __init__(self) -> None:
        super().__init__()
        # 'same' of a 3x3 kernel with stride 2 on an even size: below and to the right alone.
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.stem_norm = nn.BatchNorm2d(16, **_NORM)
        before = 16
        for number, filters in enumerate((16, 32, 64), start=1):
            stride = 1 if number == 1 else 2
            padding = 1 if stride == 1 else 0
            self.add_module(f"first{number}", nn.Conv2d(before, filters, 3, stride=stride, padding=padding))
            self.add_module(f"first{number}_norm", nn.BatchNorm2d(filters, **_NORM))
            self.add_module(f"second{number}", nn.Conv2d(filters, filters, 3, padding=1))
            self.add_module(f"second{number}_norm", nn.BatchNorm2d(filters, **_NORM))
            if stride > 1:
                self.add_module(f"shortcut{number}", nn.Conv2d(before, filters, 1, stride=2))
            before = filters
        self.pool = nn.AvgPool2d(8)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, 10) of images (n, 32, 32, 3)."""
        x = torch.relu(self.stem_norm(self.stem(x.permute(0, 3, 1, 2))))
        for number in range(1, 4):
            y = x if number == 1 else self.pad(x)
            y = torch.relu(getattr(self, f"first{number}_norm")(getattr(self, f"first{number}")(y)))
            y = getattr(self, f"second{number}_norm")(getattr(self, f"second{number}")(y))
            shortcut = x if number == 1 else getattr(self, f"shortcut{number}")(x)
            x = torch.relu(shortcut + y)
        return self.classes(torch.flatten(self.pool(x), 1))


NETWORKS = {"ds-cnn": DsCnn, "resnet8": ResNet8}


def load_weights(network: nn.Module, layers: Layers) -> None:
    """Put Keras' arrays into a network."""
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name, arrays in layers.items():
            module = modules[name]
            for place, array in zip(_places(module), arrays, strict=True):
                place.copy_(_to_torch(module, torch.from_numpy(array)))


def take_weights(network: nn.Module) -> Layers:
    """A network's arrays as Keras has them; the inverse of `load_weights`."""
    return {
        name: [_to_keras(module, place.detach()).numpy().copy() for place in _places(module)]
        for name, module in network.named_modules()
        if _places(module)
    }


def _places(module: nn.Module) -> list[torch.Tensor]:
    if isinstance(module, nn.BatchNorm2d):
        return [module.weight, module.bias, module.running_mean, module.running_var]
    return [module.weight, module.bias] if isinstance(module, (nn.Conv2d, nn.Linear)) else []


def _to_torch(module: nn.Module, array: torch.Tensor) -> torch.Tensor:
    if array.ndim == 4:
        # Keras: (height, width, in, out); a depthwise kernel (height, width, channels, 1).
        return array.permute(2, 3, 0, 1) if _is_depthwise(module) else array.permute(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array


def _to_keras(module: nn.Module, array: torch.Tensor) -> torch.Tensor:
    if array.ndim == 4:
        return array.permute(2, 3, 0, 1) if _is_depthwise(module) else array.permute(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups > 1
