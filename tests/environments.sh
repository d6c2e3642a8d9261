#!/usr/bin/env bash
# Environments that only the full tests need, kept apart: stock peft, TRL, and the OpenSSF model_signing command with its HTTP stack.
set -euo pipefail
cd "$(dirname "$0")/.."
make_environment() { # name, packages...
  local folder=".cache/$1"; shift
  [ -e "$folder/.ready" ] && return
  python3.11 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
  touch "$folder/.ready"
}
make_environment model-signing-venv model-signing==1.1.1 pyopenssl
make_environment peft-venv torch==2.13.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
make_environment trl-venv torch==2.13.0 transformers==5.23.0 peft==0.21.2 trl==1.16.0 datasets==5.2.0
