#!/usr/bin/env bash
# Trains the small networks for the simulated sample,
# src/napari_dynaclr/sample/{stainer,encoder,tracker,arrow,profiler}.safetensors,
# with nothing but the project's own commands. About two and a half hours on two cores; stopped, it goes on
# when it is run again. The plates they learn from (seed 1) are not those of the demo (seed 0).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=build/weights
plate=$home/plate.zarr
wells=$home/phenotypes.zarr
made=$home/plate.dynaclr/weights
run() { .venv/bin/napari-dynaclr "$@"; }

mkdir -p "$home"
[ -e "$plate" ] || run simulate "$plate" --seed 1
run train "$plate" --method staining --name stainer --targets Nuclei --targets Membrane \
  --batch-size 8 --epochs 300 --minutes 25
run segment "$plate" --channel Nuclei
run track "$plate"
run train "$plate" --name simulated --channels Phase --channels Sensor --border reflect \
  --batch-size 128 --epochs 200 --minutes 30
run train "$plate" --method cellect --name tracker --truth "$home/plate_truth.zarr" --mlps always \
  --learning-rate 0.003 --warm-up 0.05 --schedule cosine --batch-size 8 --epochs 30 --minutes 25
run train "$plate" --method tap --name arrow --channel Nuclei --patch-size 48 --pairs 2000 \
  --foreground 0.2 --changing 0.7 --epochs 60 --minutes 30
[ -e "$wells" ] || run simulate "$wells" --method phenotypes --seed 1 --wells-per-phenotype 8
run segment "$wells" --channel Nuclei
run track "$wells"
run train "$wells" --method profiler --name profiler --channels Nuclei --channels Membrane \
  --channels Sensor --patch-size 40 --token-size 8 --local-crops 0 --prototypes 64 \
  --temperature 0.04 --momentum 0.98 --elastic 0 --noise 0.2 --crop-scale 0.8 --brightness 0.1 \
  --contrast 0.1 --batch-size 64 --epochs 40 --minutes 30
cp "$made/stainer.safetensors" src/napari_dynaclr/sample/stainer.safetensors
cp "$made/simulated.safetensors" src/napari_dynaclr/sample/encoder.safetensors
cp "$made/tracker.safetensors" src/napari_dynaclr/sample/tracker.safetensors
cp "$made/arrow.safetensors" src/napari_dynaclr/sample/arrow.safetensors
cp "$home/phenotypes.dynaclr/weights/profiler.safetensors" src/napari_dynaclr/sample/profiler.safetensors
