"""Turns all-MiniLM-L6-v2, as its package carries it, into a GGUF file that llama.cpp serves.

Runs in the model server's environment: python convert_embedder.py FOLDER TARGET. The same
files give the same bytes, whose hash set-up knows.
"""

import json
import sys
from pathlib import Path
from typing import Any

POOLER = "pooler."
"""Of the tensors, those for sentence pairs: a mean over the words needs none of them."""


def main(packages: str, target: str) -> None:
    """Write ``target``."""
    import gguf
    from safetensors.numpy import load

    weights = next(Path(packages).rglob("model.safetensors"))
    config = json.loads(weights.with_name("config.json").read_text())
    words = weights.with_name("vocab.txt").read_text().splitlines()
    tensors = load(weights.read_bytes())
    blocks = config["num_hidden_layers"]
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(blocks)
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_words(writer, gguf.TokenType, words)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, blocks)
    # safetensors gives them in any order.
    for name, tensor in sorted(tensors.items()):
        if name.startswith(POOLER) or name.endswith("position_ids"):
            continue
        named = names.get_name(name, try_suffixes=(".weight", ".bias"))
        # llama.cpp adds the vectors of positions and kinds, and norms, at full precision.
        half = tensor.ndim == 2 and named.startswith(("blk.", "token_embd."))
        writer.add_tensor(named, tensor.astype("float16" if half else "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_words(writer: Any, kind: Any, words: list[str]) -> None:
    """The vocabulary, in llama.cpp's form: a word's beginning is marked, not its continuation."""
    tokens, kinds = [], []
    for word in words:
        special = word.startswith("[") and word.endswith("]")
        begins = "" if special or word.startswith("##") else "\N{LOWER ONE EIGHTH BLOCK}"
        tokens.append(begins + word.removeprefix("##"))
        unused = kind.UNUSED if word.startswith("[unused") else kind.CONTROL
        kinds.append(unused if special else kind.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_eos_token_id(words.index("[SEP]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_mask_token_id(words.index("[MASK]"))


if __name__ == "__main__":
    main(*sys.argv[1:])
