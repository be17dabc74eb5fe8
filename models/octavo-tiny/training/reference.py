"""octavo-tiny in transformers: the reference for evaluation and golden files."""

from pathlib import Path

import torch
from transformers import AutoConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from graph import weights_from

MODEL_DIR = Path(__file__).parent.parent


def load_tokenizer():
    return PreTrainedTokenizerFast(
        tokenizer_file=str(MODEL_DIR / "tokenizer.json"), bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>",
        chat_template=(MODEL_DIR / "chat_template.jinja").read_text(), clean_up_tokenization_spaces=False,
    )


def load_model(checkpoint):
    """A checkpoint of train.py, or an exported model.onnx, as LlamaForCausalLM, float32."""
    model = LlamaForCausalLM(AutoConfig.from_pretrained(MODEL_DIR, attn_implementation="eager")).eval()
    state = weights_from(checkpoint)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


@torch.no_grad()
def greedy(model, ids, limit, end):
    """
    Returns (token ids, logits of the prompt's last position, smallest distance between the best and the second-best logit).
    """
    past, step, tokens, margin, first = None, torch.tensor([ids]), [], float("inf"), None
    while len(tokens) < limit:
        result = model(step, past_key_values=past, use_cache=True)
        past, logits = result.past_key_values, result.logits[0, -1]
        first = logits if first is None else first
        best = logits.topk(2).values
        margin = min(margin, (best[0] - best[1]).item())
        tokens.append(int(logits.argmax()))
        if tokens[-1] == end:
            break
        step = torch.tensor([[tokens[-1]]])
    return tokens, first, margin


@torch.no_grad()
def greedy_batch(model, prompts, limit, end, pad):
    """Token ids of every prompt's greedy answer, without `end`; prompts of similar length run together."""
    answers = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        longest = len(prompts[order[-1]])
        rows = max(1, min(50, 12_000 // longest))
        batch, order = order[-rows:], order[:-rows]
        ids = torch.full((len(batch), longest), pad)
        mask = torch.zeros_like(ids)
        for row, i in enumerate(batch):
            ids[row, longest - len(prompts[i]) :] = torch.tensor(prompts[i])
            mask[row, longest - len(prompts[i]) :] = 1
        out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=limit, eos_token_id=end, pad_token_id=pad)
        for row, i in enumerate(batch):
            tokens = out[row, longest:].tolist()
            answers[i] = tokens[: tokens.index(end)] if end in tokens else tokens
    return answers
