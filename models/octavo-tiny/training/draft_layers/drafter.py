"""
Draft layers: they guess the target's next hidden rows, and the target's LM head makes tokens of those.

One layer for every draft position is EAGLE (Li et al. 2024, "EAGLE: Speculative Sampling Requires Rethinking Feature
Uncertainty"); a layer of its own for each of them, which sees rows of exactly that quality, is PosS (Huang et al. 2025,
"POSS: Position Specialist Generates Better Draft for Speculative Decoding").

The row of position t is made of token t + 1 and the hidden row t, and becomes hidden row t + 1, of which the LM head makes
token t + 2. A draft that begins at position s, the last one whose hidden row the target has computed, has position s at depth 1,
s + 1 at depth 2, and so on; from depth 2 on, what the layer before has put out stands for the hidden row. All depths share one
cache: K and V of positions up to s are those of the first specialist, on the target's rows; K and V of a drafted position are
those of the specialist that computed it.
"""

import torch
from torch import nn

from model import Attention, Mlp, rotary_tables, rotate


class DraftLayer(nn.Module):
    """A Llama layer behind `fc`, which joins a token and a hidden row; without a norm before the attention, as EAGLE has it."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.fc = nn.Linear(2 * shape.hidden, shape.hidden, bias=False)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.eps)
        self.mlp = Mlp(shape)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def join(self, embeddings, hidden):
        return self.fc(torch.cat((embeddings, hidden), dim=-1))

    def heads(self, y):
        """[batch, time, width] -> [batch, KV heads, heads in each group, time, head_size]; K and V have one in each group."""
        groups, size = self.shape.kv_heads, self.shape.head_size
        return y.unflatten(-1, (groups, -1, size)).permute(0, 2, 3, 1, 4)

    def query(self, x, cos, sin):
        return rotate(self.heads(self.self_attn.q_proj(x)), cos, sin)

    def key_value(self, x, cos, sin):
        attention = self.self_attn
        return rotate(self.heads(attention.k_proj(x)), cos, sin), self.heads(attention.v_proj(x))

    def finish(self, x, attended):
        """What stands behind the attention: [batch, time, hidden]."""
        x = x + self.self_attn.o_proj(attended.permute(0, 3, 1, 2, 4).flatten(2))
        return x + self.mlp(self.post_attention_layernorm(x))


def attend(query, decided, seen, drafted):
    """
    Attention over decided positions and over the positions of one's own draft.

    query: [batch, groups, heads, starts, size]. decided: K and V, [batch, groups, 1, positions, size], and `seen` [batch,
    starts, positions] says which of them a start sees. drafted: a list of K and V, [batch, groups, 1, starts, size]; start i
    sees those of index i alone.
    """
    keys, values = decided
    scores = (query @ keys.transpose(-1, -2)).float().masked_fill(~seen[:, None, None], float("-inf"))
    own = [(query * key).sum(-1, keepdim=True).float() for key, _ in drafted]
    shares = (torch.cat((scores, *own), dim=-1) * query.shape[-1] ** -0.5).softmax(-1).to(values.dtype)
    attended = shares[..., : keys.shape[-2]] @ values
    for i, (_, value) in enumerate(drafted):
        attended = attended + shares[..., keys.shape[-2] + i, None] * value
    return attended


class Drafter(nn.Module):
    """As many layers as there are specialists; the last one serves all deeper positions. One specialist is EAGLE."""

    def __init__(self, shape, specialists=1):
        super().__init__()
        self.specialists = nn.ModuleList(DraftLayer(shape) for _ in range(specialists))
        cos, sin = rotary_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def at_depth(self, depth):
        return self.specialists[min(depth, len(self.specialists)) - 1]

    def unroll(self, embeddings, hidden, starts, depths):
        """
        Guessed hidden rows of depth 1, 2, ... of all drafts that begin at `starts`, with the tokens of the text: those of a
        draft that is right so far, and no others matter.

        embeddings, hidden: [batch, time, width], of the text's tokens and the target's rows. starts: positions, [batch, drafts].
        Yields [batch, drafts, width]: at depth d, guesses at the hidden rows `starts` + d.
        """
        first = self.specialists[0]
        last = embeddings.shape[1] - 1
        rows = lambda x, at: x.gather(1, at.clamp(max=last)[..., None].expand(-1, -1, x.shape[-1]))
        decided_rows = first.join(embeddings[:, 1:], hidden[:, :-1])
        decided = first.key_value(decided_rows, self.cos[:last], self.sin[:last])
        seen = torch.arange(last) <= starts[..., None]
        drafted, guess = [], rows(hidden, starts)
        for depth in range(1, depths + 1):
            layer, position = self.at_depth(depth), starts + depth - 1
            x = layer.join(rows(embeddings, position + 1), guess)
            rotation = [table[position.clamp(max=last)][:, None, None] for table in (self.cos, self.sin)]
            if depth > 1:
                drafted.append(layer.key_value(x, *rotation))
            guess = layer.finish(x, attend(layer.query(x, *rotation), decided, seen, drafted))
            yield guess

    @torch.no_grad()
    def draft(self, embed, hidden, tokens, choose, count):
        """
        Drafts `count` tokens behind a text, one after another, as serving does. It must agree with `unroll`.

        embed: the embedding, [vocab, width]. hidden: the target's rows of all tokens but the last, [time, width]. tokens: time + 1
        of them. choose(guess, depth): the token that a guessed row [width] becomes.
        """
        first, start = self.specialists[0], len(tokens) - 2
        x = first.join(embed[torch.tensor(tokens[1:])], hidden)[None]
        keys, values = first.key_value(x, self.cos[: start + 1], self.sin[: start + 1])
        x, drafts, everything = x[:, -1:], [], torch.ones(1, 1, len(tokens) + count, dtype=torch.bool)
        for depth in range(1, count + 1):
            layer, position = self.at_depth(depth), start + depth - 1
            rotation = self.cos[position], self.sin[position]
            if depth > 1:
                x = layer.join(embed[drafts[-1]], guess)[None, None]
                key, value = layer.key_value(x, *rotation)
                keys, values = torch.cat((keys, key), dim=-2), torch.cat((values, value), dim=-2)
            guess = layer.finish(x, attend(layer.query(x, *rotation), (keys, values), everything[..., : keys.shape[-2]], []))[0, 0]
            drafts.append(choose(guess, depth))
        return drafts
