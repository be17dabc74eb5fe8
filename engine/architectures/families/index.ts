import type { Config } from '../config.js';
import type { Decoder } from '../decoder.js';
import { apertus } from './apertus.js';
import { bamba } from './bamba.js';
import { cohere, cohere2 } from './cohere.js';
import { falconH1 } from './falcon-h1.js';
import { gemma, gemma2, gemma3 } from './gemma.js';
import { gemma3n } from './gemma3n.js';
import { gemma4, gemma4Unified } from './gemma4.js';
import { glm, glm4 } from './glm.js';
import { gptNeox } from './gpt-neox.js';
import { gptOss } from './gpt-oss.js';
import { gpt2 } from './gpt2.js';
import { granite, graniteHybrid, graniteMoe } from './granite.js';
import { lfm2, lfm2Moe } from './lfm2.js';
import { llama } from './llama.js';
import { mamba2 } from './mamba2.js';
import { ministral, ministral3, mistral } from './mistral.js';
import { mixtral } from './mixtral.js';
import { nemotron } from './nemotron.js';
import { nemotronH } from './nemotron-h.js';
import { olmo, olmo2, olmo3 } from './olmo.js';
import { phi } from './phi.js';
import { phi3 } from './phi3.js';
import { qwen2, qwen3, qwen3Moe } from './qwen.js';
import { qwen3Next, qwen35, qwen35Moe } from './qwen-next.js';
import { smollm3 } from './smollm3.js';
import { starcoder2 } from './starcoder2.js';

/** Describes a model of one family by its configuration. */
export type Family = (config: Config) => Decoder;

/** By `model_type`. */
export const FAMILIES: ReadonlyMap<string, Family> = new Map(
  Object.entries({
    apertus,
    bamba,
    cohere,
    cohere2,
    falcon_h1: falconH1,
    gemma,
    gemma2,
    gemma3_text: gemma3,
    gemma3n_text: gemma3n,
    gemma4_text: gemma4,
    gemma4_unified_text: gemma4Unified,
    glm,
    glm4,
    gpt2,
    gpt_neox: gptNeox,
    gpt_oss: gptOss,
    granite,
    granitemoe: graniteMoe,
    granitemoehybrid: graniteHybrid,
    lfm2,
    lfm2_moe: lfm2Moe,
    llama,
    mamba2,
    ministral,
    ministral3,
    mistral,
    mixtral,
    nemotron,
    nemotron_h: nemotronH,
    olmo,
    olmo2,
    olmo3,
    phi,
    phi3,
    qwen2,
    qwen3,
    qwen3_5_moe_text: qwen35Moe,
    qwen3_5_text: qwen35,
    qwen3_moe: qwen3Moe,
    qwen3_next: qwen3Next,
    smollm3,
    starcoder2,
  }),
);
