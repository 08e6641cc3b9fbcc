"""llama.cpp's greedy continuations and their logits. Runs in an environment that has llama-cpp-python.

Usage: llama_logits.py MODEL.gguf PROMPTS.json OUT.npz; PROMPTS: {"prompts": [[ids]], "steps": N}
OUT: tokens int32 [prompts, steps], logits float32 [prompts, steps, vocabulary]
"""

from __future__ import annotations

import json
import sys

import llama_cpp
import numpy as np


def main(model: str, prompts: str, out: str) -> None:
    with open(prompts) as stream:
        task = json.load(stream)
    llm = llama_cpp.Llama(model, n_ctx=512, logits_all=True, verbose=False)
    tokens, logits = [], []
    for prompt in task["prompts"]:
        llm.reset()
        llm.eval(prompt)
        row = []
        for _ in range(task["steps"]):
            logits.append(llm.scores[llm.n_tokens - 1].copy())
            row.append(int(np.argmax(logits[-1])))
            llm.eval(row[-1:])
        tokens.append(row)
    shape = (len(tokens), task["steps"], -1)
    np.savez(out, tokens=np.array(tokens, np.int32), logits=np.array(logits, np.float32).reshape(shape))


if __name__ == "__main__":
    main(*sys.argv[1:])
