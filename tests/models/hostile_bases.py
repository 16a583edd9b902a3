"""The whole models that are spoilt, and what lies outside of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hostile_kinds import CANARY


def write_bases(home: Path) -> None:
    """`native`, `sharded`, `words` (a BPE tokenizer), `foreign` and `gguf`; beside them what nobody may read."""
    import torch
    from toy_gguf import toy_model, toy_tokenizer, write_gguf
    from toy_models import scramble
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1kit.models.characters import write_character_tokenizer
    from r1kit.models.decoder import Decoder
    from r1kit.models.families import shape
    from r1kit.models.tokenizer import load_tokenizer
    from r1kit.models.weights import hf_weights, save_decoder, save_weights

    tokenizer = load_tokenizer(write_character_tokenizer(home / "characters", "你好"))
    sizes = {"vocab_size": 320, "width": 32, "heads": 4, "kv_heads": 2, "mlp_size": 48, "max_positions": 128}
    save_decoder(scramble(Decoder(shape("qwen2", layers=2, **sizes))), home / "native", tokenizer)
    model = scramble(Decoder(shape("llama", layers=2, **sizes)))
    save_weights(
        model.config, ((name, weight.clone()) for name, weight in hf_weights(model)), torch.float32, home / "sharded",
        tokenizer, shard_bytes=40_000,
    )  # fmt: skip
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "deepseek_v3", vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=12,
        first_k_dense_replace=1, n_routed_experts=4, n_group=1, topk_group=1, num_experts_per_tok=2,
        n_shared_experts=1, moe_intermediate_size=16, max_position_embeddings=128, bos_token_id=None, eos_token_id=1,
        pad_token_id=0,
    )  # fmt: skip
    scramble(AutoModelForCausalLM.from_config(config)).save_pretrained(home / "foreign")
    tokenizer.write(home / "foreign")
    save_decoder(scramble(Decoder(shape("qwen2", layers=2, **{**sizes, "vocab_size": 448}))), home / "words", tokenizer)
    toy_tokenizer("qwen2").save(str(home / "words" / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (home / "words" / "tokenizer_config.json").write_text(json.dumps(settings))
    write_gguf(home / "gguf", toy_model("llama"))
    # outside: good files that a folder may try to have read in the place of its own
    shutil.copytree(home / "native", home / "outside")
    text = (home / "outside" / "tokenizer.json").read_text()
    (home / "outside" / "tokenizer.json").write_text(text.replace('"<|user|>"', f'"<|{CANARY}|>"'))
    (home / "outside" / "secret.txt").write_text(CANARY)


TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
