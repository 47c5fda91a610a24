#!/usr/bin/env bash
# Trains the small encoder for the simulated sample, src/napari_dynaclr/sample/encoder.safetensors,
# with nothing but the project's own commands. Half an hour of training on two cores; stopped, it
# goes on when it is run again. The plate it learns from (seed 1) is not the one of the demo (seed 0).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=build/weights
plate=$home/plate.zarr
run() { .venv/bin/napari-dynaclr "$@"; }

mkdir -p "$home"
[ -e "$plate" ] || run simulate "$plate" --seed 1
run segment "$plate" --channel Nuclei
run track "$plate"
run train "$plate" --name simulated --channels Phase --channels Sensor --border reflect \
  --batch-size 128 --epochs 200 --minutes 30
cp "$home/plate.dynaclr/weights/simulated.safetensors" src/napari_dynaclr/sample/encoder.safetensors
