"""A network of fewer layers that learns what a fine-tuned one says: its student.

Needs torch and transformers, as `bert` does. It starts from some of its teacher's layers, and
learns the teacher's probabilities instead of labels, and to have the teacher's mean vector of a
text. It sees each title with its kind and countries and without, as the teacher does, and of each
text what the teacher says of that text.

Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015; Sanh et al.,
"DistilBERT, a distilled version of BERT", 2019 (layers taken over, cosine of vectors).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from tokenizers import Tokenizer
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity
from transformers import AutoConfig, BertModel, PreTrainedTokenizerFast

from trending_shared.encoder import locate_model
from trending_shared.features import without_facts
from trending_shared.onnx_models import open_session, pad
from trending_trainer.bert import BertModel as Student
from trending_trainer.bert import Course, Network, halves, shuffled, tensors, tokenize
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import Params


def distil(
    part: bytes,
    tokenizer: bytes,
    titles: TrainingSet,
    params: Params,
    *,
    layers: int,
    tell: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Student:
    """A student of so many layers.

    Args:
        part: the teacher, as `bert.export_bert` writes it, or the whole graph of its bundle.
        titles: those outside the test split; their labels don't count.
        params: the teacher's.
        tell: called after each epoch with its number, from 1 on, and the mean loss.
    """
    torch.manual_seed(params["seed"])
    network = _start(part, params, layers)
    fast = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_buffer(tokenizer))  # type: ignore[no-untyped-call]
    course = Course(network, params, -(-len(titles) // params["batch_size"]))
    whole = list(titles.texts)
    versions = [whole, [without_facts(text) for text in whole]]
    tokens = [tokenize(fast, texts) for texts in versions]
    lessons = [_lessons(part, one) for one in tokens]
    device = next(network.parameters()).device
    for epoch in range(params["epochs"]):
        chance = np.random.default_rng([params["seed"], epoch])
        hidden = (chance.random(len(titles)) < params["fact_dropout"]).astype(int)
        read = [tokens[which][row] for row, which in enumerate(hidden)]
        network.train()
        losses = []
        for rows in shuffled(read, params["batch_size"], chance):
            said, meant = (
                torch.from_numpy(np.stack([lessons[hidden[row]][at][row] for row in rows]))
                for at in (0, 1)
            )
            with torch.autocast(device.type, torch.bfloat16, enabled=halves(device.type)):
                vectors = network.mean(*tensors([read[row] for row in rows], network))
                answers = network.head(network.dropout(vectors)).float()
            truth = torch.sigmoid(said.to(device))
            loss = binary_cross_entropy_with_logits(answers, truth, reduction="none").sum(1)
            loss = loss + 1 - cosine_similarity(vectors.float(), meant.to(device))
            losses.append(course.step(loss.mean()))
        tell(epoch + 1, float(np.mean(losses)))
    return Student(network, fast, params["epochs"])


def _lessons(
    part: bytes, tokens: Sequence[Sequence[int]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the teacher says of texts: log-odds (n, 16) and mean vectors (n, dimension)."""
    model = onnx.load_from_string(part)
    (head,) = (node for node in model.graph.node if node.op_type == "Gemm")
    names = [head.output[0], head.input[0]]
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    session = open_session(model.SerializeToString())
    found = [session.run(names, pad([row])) for row in tokens]
    said, meant = (np.concatenate([one[at] for one in found]) for at in (0, 1))
    return said, meant


def _start(part: bytes, params: Params, layers: int) -> Network:
    """A student with layers of its teacher, evenly spread from the first to the last."""
    graph = onnx.load_from_string(part).graph
    weights = {
        one.name.removeprefix("part0."): numpy_helper.to_array(one) for one in graph.initializer
    }
    config: Any = AutoConfig.from_pretrained(params["model"] or str(locate_model()))
    taken = np.linspace(0, config.num_hidden_layers - 1, layers).round().astype(int)
    config.num_hidden_layers = layers
    config.max_position_embeddings = len(weights["positions"])
    network = Network(BertModel(config, add_pooling_layer=False), config.hidden_size, 0.0)
    network.dropout.p = params["dropout"]
    # The graph has the vector of a token's type, which is always the same, in its positions.
    weights["embeddings.position_embeddings.weight"] = weights["positions"]
    state = network.encoder.state_dict()
    for name, tensor in state.items():
        source = name
        if name.startswith("encoder.layer."):
            _, _, layer, rest = name.split(".", 3)
            source = f"encoder.layer.{taken[int(layer)]}.{rest}"
        if name == "embeddings.token_type_embeddings.weight":
            tensor.zero_()
        elif source in weights:
            array = weights[source]
            linear = name.startswith("encoder.") and array.ndim == 2
            tensor.copy_(torch.from_numpy(np.array(array.T if linear else array)))
    network.encoder.load_state_dict(state)
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(np.array(weights["head.0"].T)))
        network.head.bias.copy_(torch.from_numpy(np.array(weights["head.1"])))
    return network.to("cuda" if torch.cuda.is_available() else "cpu")
