"""What a stranger's .tflite file says is checked before it is used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing.errors import ModelError
from penjing.measure.file_graph import FileGraph, Operator, Subgraph, Tensor
from penjing.measure.macs import count_macs


def tensor(shape: tuple[int, ...], data: bytes = b"") -> Tensor:
    return Tensor(index=0, shape=shape, dtype="float32", data=data, scales=(), zero_points=())


@pytest.mark.parametrize("inputs", [(), (0,), (0, -1)])
@pytest.mark.parametrize("name", ["CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM"])
def test_an_operator_without_its_inputs_is_named(name: str, inputs: tuple[int, ...]) -> None:
    operator = Operator(name=name, inputs=inputs, outputs=(0,), options={})
    graph = Subgraph(tensors=(tensor((1, 4)),), operators=(operator,), inputs=(0,), outputs=(0,))
    if name == "CONV_2D" and inputs == (0, -1):
        assert count_macs(FileGraph(subgraphs=(graph,), content=b"")).total == 4
        return
    with pytest.raises(ModelError, match=name):
        count_macs(FileGraph(subgraphs=(graph,), content=b""))


def test_weights_that_do_not_fill_their_shape_are_refused() -> None:
    assert tensor((2,), bytes(8)).values.shape == (2,)
    for wrong in (tensor((3,), bytes(8)), tensor((2,), bytes(7)), tensor((-5, 2), bytes(8))):
        with pytest.raises(ModelError, match="tensor 0 cannot be read"):
            _ = wrong.values


@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_makes_the_tools_fail_in_another_way(penjing_data: Path, data: st.DataObject) -> None:
    content = bytearray((penjing_data / "mlperf_tiny/kws_ref_model.tflite").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(8, 5000) | st.integers(len(content) - 12_000, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    try:
        graph = FileGraph.from_bytes(bytes(content))
        count_macs(graph)
        graph.operator_counts()
        assert min(graph.bytes_by_kind.values()) >= 0
        for constant in graph.constants():
            _ = constant.values
    except ModelError as error:
        assert error.what
