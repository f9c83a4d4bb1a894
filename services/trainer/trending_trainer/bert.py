"""A transformer fine-tuned end to end: every weight learns to tell genres.

Needs torch and transformers, the trainer's extra `bert`. By default the network is the installed
sentence encoder, MiniLM-L6; any other encoder of Hugging Face goes by its name or its folder.

Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding",
NAACL 2019; the optimiser is AdamW (Loshchilov, Hutter, "Decoupled weight decay regularization",
ICLR 2019) with a linear rise and fall of the learning rate.

After each epoch a fit leaves where it stands, as safetensors; one that is killed goes on from
there, and ends with the same weights as one that wasn't: whatever is random follows from the seed
and the epoch.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import structlog
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from scipy.special import logit
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import AutoConfig, AutoModel, AutoTokenizer

from trending_shared.encoder import build_graph, locate_model
from trending_shared.evaluation import UNKNOWN, Answers, average_precisions
from trending_shared.features import without_facts
from trending_shared.genres import GENRES
from trending_shared.onnx_models import IDS, MASK, pad
from trending_trainer.exporting import as_part
from trending_trainer.training import Workspace
from trending_trainer.training_set import TrainingSet
from trending_trainer.words import UNTRAINED, Params, learnable

log = structlog.get_logger()

_AT_ONCE = 32
_SORTED = 20  # batches whose texts are sorted by length together, so that little is padding


class Network(nn.Module):
    """An encoder, the mean over a text's tokens, and one matrix: token ids to log-odds (n, 16)."""

    def __init__(self, encoder: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, len(GENRES))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        answers: Tensor = self.head(self.dropout(self.mean(ids, mask)))
        return answers.float()

    def mean(self, ids: Tensor, mask: Tensor) -> Tensor:
        """A text's vector, (n, width)."""
        said = self.encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        counts = mask.to(said.dtype)
        mean: Tensor = (said * counts[..., None]).sum(1) / counts.sum(1, keepdim=True)
        return mean


@dataclass(frozen=True, slots=True)
class BertModel:
    """A fine-tuned network; only its ONNX export is kept."""

    network: Network
    tokenizer: Any
    best_epochs: int
    """After which it answered best; all of them if nobody looked."""

    def log_odds(self, texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.float32]:
        """What the model says of composed texts: (len(texts), 16), columns as `GENRES`."""
        answers = np.empty((len(texts), len(GENRES)), np.float32)
        tokens = tokenize(self.tokenizer, list(texts))
        by_length = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        self.network.eval()
        with torch.inference_mode():
            for start in range(0, len(tokens), _AT_ONCE):
                rows = by_length[start : start + _AT_ONCE]
                said = self.network(*tensors([tokens[row] for row in rows], self.network))
                answers[rows] = said.cpu().numpy()
        return answers


def fit_bert(
    titles: TrainingSet,
    params: Params,
    judged: TrainingSet | None,
    place: str,
    workspace: Workspace,
) -> BertModel:
    """Fine-tune; with titles to be judged, stop when epochs answer them no better, and go back.

    Args:
        params: those of `families.BERT`.
        place: where in the workspace to go on from.

    Raises:
        OSError: there is no such model, or it can't be had.
    """
    torch.manual_seed(params["seed"])
    network, tokenizer = _load(params)
    if params["most_titles"]:
        titles = _sample(titles, params["most_titles"])
    wanted = learnable(titles.labels)
    known = (titles.labels != UNKNOWN) & wanted
    rates = (titles.labels == 1).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    with torch.no_grad():
        network.head.weight.zero_()
        start = np.where(wanted, logit(np.clip(rates, 1e-3, 1 - 1e-3)), UNTRAINED)
        network.head.bias.copy_(torch.tensor(start))
    course = Course(network, params, -(-len(titles) // params["batch_size"]))
    model = BertModel(network, tokenizer, 0)
    epoch, best, best_epochs = 0, -1.0, 0
    if kept := workspace.load(f"{place}/epoch.safetensors"):
        epoch, best, best_epochs = course.restore(kept)
        log.info("fit_resumed", place=place, epochs=epoch)
    while epoch < params["epochs"] and (judged is None or epoch - best_epochs < params["patience"]):
        chance = np.random.default_rng([params["seed"], epoch])
        torch.manual_seed(params["seed"] * 1000 + epoch)
        loss = course.epoch(titles, known, tokenizer, chance)
        epoch, score = epoch + 1, None
        if judged is None:
            best_epochs = epoch
        else:
            said = Answers(judged.labels, model.log_odds(judged.texts), dict.fromkeys(GENRES, 0.0))
            score = float(np.nanmean(average_precisions(said)))
            if score > best:
                best, best_epochs = score, epoch
                workspace.save(f"{place}/best.safetensors", save(network.state_dict()))
        workspace.save(f"{place}/epoch.safetensors", course.content(epoch, best, best_epochs))
        log.info("epoch_ended", place=place, epoch=epoch, loss=loss, average_precision=score)
    if best_epochs < epoch:
        weights = workspace.load(f"{place}/best.safetensors")
        if weights is None:
            raise RuntimeError(f"{place}: the weights of its best epoch are gone")
        network.load_state_dict(load(weights))
    return BertModel(network, tokenizer, best_epochs)


def settle_bert(params: Params, models: Sequence[BertModel]) -> Params:
    """The last fit takes as many epochs as did the folds best, of the same rise and fall."""
    return {**params, "epochs": median_low([model.best_epochs for model in models])}


def export_bert(model: BertModel) -> tuple[bytes, bytes]:
    """The network as a part, and its tokenizer."""
    network = model.network.cpu().eval()
    config: Any = network.encoder.config
    if config.model_type == "bert" and config.hidden_act == "gelu":
        weights = {name: tensor.numpy() for name, tensor in network.encoder.state_dict().items()}
        head = network.head.weight.detach().numpy().T, network.head.bias.detach().numpy()
        proto = build_graph(weights, config.to_dict(), head=head)
    else:
        proto = _trace(network)
    return as_part(proto), model.tokenizer.backend_tokenizer.to_str().encode()


def _trace(network: Network) -> onnx.ModelProto:
    """Any network as ONNX, by running it once."""
    any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(
            network,
            (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.bool)),
            path,
            input_names=[IDS, MASK],
            output_names=["vectors"],
            dynamic_shapes={IDS: any_size, MASK: any_size},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        return onnx.load(path)


def _load(params: Params) -> tuple[Network, Any]:
    name = params["model"] or str(locate_model())
    config = AutoConfig.from_pretrained(name)
    encoder = AutoModel.from_pretrained(name, config=config, attn_implementation="sdpa")
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # nothing reads it
    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.enable_truncation(params["max_tokens"])
    network = Network(encoder, config.hidden_size, params["dropout"])
    return network.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def _sample(titles: TrainingSet, most: int) -> TrainingSet:
    """At most so many titles, the same ones every time."""
    rows = np.zeros(len(titles), bool)
    rows[np.random.default_rng(0).permutation(len(titles))[:most]] = True
    return titles.where(rows)


class Course:
    """The way of a network through its epochs."""

    def __init__(self, network: Network, params: Params, batches: int) -> None:
        self._network = network
        self._params = params
        self._batches = batches
        self._done = 0
        rate, decay = params["learning_rate"], params["weight_decay"]
        head = set(network.head.parameters())
        body = [one for one in network.parameters() if one not in head]
        self._groups: list[dict[str, Any]] = [
            # Biases and the scales of normalisations aren't pulled to zero.
            {"params": [one for one in body if one.ndim > 1], "weight_decay": decay, "top": rate},
            {"params": [one for one in body if one.ndim < 2], "weight_decay": 0.0, "top": rate},
            {"params": [*head], "weight_decay": 0.0, "top": rate * params["head_rate"]},
        ]
        self._optimizer = torch.optim.AdamW(self._groups, lr=rate, fused=True)  # four times as fast

    def epoch(
        self,
        titles: TrainingSet,
        known: NDArray[np.bool_],
        tokenizer: Any,
        chance: np.random.Generator,
    ) -> float:
        """Once through the titles; the mean loss of its batches."""
        device = next(self._network.parameters()).device
        hidden = chance.random(len(titles)) < self._params["fact_dropout"]
        texts = [
            without_facts(text) if hide else text
            for text, hide in zip(titles.texts, hidden, strict=True)
        ]
        tokens = tokenize(tokenizer, texts)
        labels = torch.tensor(titles.labels, dtype=torch.float32, device=device)
        counts = torch.tensor(known, dtype=torch.float32, device=device)
        self._network.train()
        losses = []
        for rows in shuffled(tokens, self._params["batch_size"], chance):
            with torch.autocast(device.type, torch.bfloat16, enabled=halves(device.type)):
                said = self._network(*tensors([tokens[row] for row in rows], self._network))
            loss = binary_cross_entropy_with_logits(said, labels[rows], reduction="none")
            losses.append(self.step((loss * counts[rows]).sum(1).mean()))
        return float(np.mean(losses))

    def step(self, loss: Tensor) -> float:
        """Learn from the loss of one batch, which is returned."""
        self._set_rate()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._done += 1
        return loss.item()

    def _set_rate(self) -> None:
        steps = self._batches * self._params["rate_epochs"]
        warm = max(self._params["warm_up"] * steps, 1)
        share = min((self._done + 1) / warm, (steps - self._done) / max(steps - warm, 1))
        for group in self._optimizer.param_groups:
            group["lr"] = group["top"] * max(share, 0.0)

    def content(self, epochs: int, best: float, best_epochs: int) -> bytes:
        tensors = {f"network.{name}": one for name, one in self._network.state_dict().items()}
        for name, parameter in self._network.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{moment}.{name}"] = self._optimizer.state[parameter][moment]
        told = {"epochs": epochs, "best": best, "best_epochs": best_epochs, "done": self._done}
        return save(tensors, {"told": json.dumps(told)})

    def restore(self, content: bytes) -> tuple[int, float, int]:
        """Go back to where `content` was left; epochs done, best score and its epoch."""
        size = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["told"])
        tensors = load(content)
        self._network.load_state_dict(
            {
                name.removeprefix("network."): tensor
                for name, tensor in tensors.items()
                if name.startswith("network.")
            }
        )
        self._done = told["done"]
        for name, parameter in self._network.named_parameters():
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(self._done)),
                "exp_avg": tensors[f"exp_avg.{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter.device),
            }
        return told["epochs"], told["best"], told["best_epochs"]


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    valid = [text.encode("utf-8", "replace").decode() for text in texts]
    return [found.ids for found in tokenizer.backend_tokenizer.encode_batch_fast(valid)]


def tensors(tokens: Sequence[Sequence[int]], network: Network) -> tuple[Tensor, Tensor]:
    device = next(network.parameters()).device
    fed = pad(tokens)
    return torch.from_numpy(fed[IDS]).to(device), torch.from_numpy(fed[MASK]).to(device)


def shuffled(
    tokens: Sequence[Sequence[int]], size: int, chance: np.random.Generator
) -> Iterator[list[int]]:
    """Batches of rows in random order, each of texts of similar length."""
    order = chance.permutation(len(tokens))
    batches = []
    for start in range(0, len(order), size * _SORTED):
        near = sorted(order[start : start + size * _SORTED], key=lambda row: len(tokens[row]))
        batches += [[int(row) for row in near[at : at + size]] for at in range(0, len(near), size)]
    for index in chance.permutation(len(batches)):
        yield batches[index]


def halves(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it would be slower."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())
