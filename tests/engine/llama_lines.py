"""The rest of a line as llama.cpp writes it, greedily. Runs in an environment that has llama-cpp-python.

Usage: llama_lines.py MODEL.gguf TASK.json OUT.json; TASK: {"prompts": [[ids]], "stop": [ids], "max_tokens": N}
OUT: for each prompt the ids up to a stop token, or up to and with the first that holds a line break
"""

from __future__ import annotations

import json
import sys

import llama_cpp


def main(model: str, task_file: str, out: str) -> None:
    with open(task_file) as stream:
        task = json.load(stream)
    llm = llama_cpp.Llama(model, n_ctx=2048, verbose=False)
    lines = []
    for prompt in task["prompts"]:
        line: list[int] = []
        for token in llm.generate(prompt, temp=0.0):
            if token in task["stop"]:
                break
            line.append(int(token))
            if b"\n" in llm.detokenize([token]) or len(line) == task["max_tokens"]:
                break
        lines.append(line)
    with open(out, "w") as stream:
        json.dump(lines, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
