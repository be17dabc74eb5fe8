"""octavo-tiny as the target of drafts: its hidden rows, and the texts that it writes itself."""

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import DynamicCache

from corpus.conversation import END, PAD
from graph import weights_from
from model import TinyLlama
from reference import MODEL_DIR, load_model

WEIGHTS = MODEL_DIR / "onnx" / "model.onnx"


class Target:
    def __init__(self):
        self.model = TinyLlama().eval().requires_grad_(False)
        self.model.load_state_dict(weights_from(WEIGHTS))
        self.embed = self.model.model.embed_tokens.weight  # The LM head, too.
        self.writer = load_model(WEIGHTS)

    def logits(self, hidden):
        return F.linear(hidden, self.embed)

    @torch.no_grad()
    def write(self, prompts, temperature, limit, generator):
        """
        Goes on with prompts until END or `limit` tokens. Returns (tokens, draws) of each: the tokens behind the prompt, and the
        number in [0, 1) that chose each of them (see `choose`).
        """
        longest = max(map(len, prompts))
        ids = torch.tensor([[PAD] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        draws = torch.rand(len(prompts), limit, generator=generator)
        cache, open_rows, written = DynamicCache(), torch.ones(len(prompts), dtype=torch.bool), []
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        while len(written) < limit and open_rows.any():
            result = self.writer(ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
            tokens = choose(result.logits[:, -1], draws[:, len(written)], temperature)
            written.append(tokens.where(open_rows, PAD))
            open_rows &= tokens != END
            ids, positions = tokens[:, None], positions[:, -1:] + 1
            mask = F.pad(mask, (0, 1), value=1)
        answers = [[token for token in row if token != PAD] for row in torch.stack(written, dim=1).tolist()]
        return [(answer, draws[i, : len(answer)].tolist()) for i, answer in enumerate(answers)]


def choose(logits, draws, temperature):
    """
    Tokens of logits [..., vocab] by numbers [...] in [0, 1): the inverse transform in the order of ranks, as Octavo samples. The
    same number chooses the draft and the token of a position, so that a draft of the target's own logits is always right.
    """
    if temperature == 0:
        return logits.argmax(-1)
    ranked, order = (logits.double() / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    rank = (ranked.cumsum(-1) <= draws[..., None]).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return order.gather(-1, rank)[..., 0]


def load_encoder():
    tokenizer = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids
