# Shell functions for scripts that measure beside llama.cpp. To be sourced after make_scratch. Settings (environment):
#   LLAMA_CPP           a source tree of llama.cpp, for its headers
#   LLAMA_CPP_LIBRARIES the directory of its shared libraries; default: build/bin of the source tree
LLAMA_CPP=${LLAMA_CPP:-}
LLAMA_CPP_LIBRARIES=${LLAMA_CPP_LIBRARIES:-$LLAMA_CPP/build/bin}

compile_peer() {
  local library
  local -a libraries=()
  for library in "$LLAMA_CPP_LIBRARIES"/lib{llama,ggml}*.so; do
    case $library in *-common* | *-cpu* | *-cuda* | *-vulkan*) ;; *) libraries+=("$library") ;; esac
  done
  g++ -std=c++17 -O2 -I "$LLAMA_CPP/include" -I "$LLAMA_CPP/ggml/include" "$ROOT/bench/peers/llama_cpp.cpp" \
    "${libraries[@]}" -Wl,-rpath,"$LLAMA_CPP_LIBRARIES" -o "$SCRATCH/llama_cpp"
}

peer() { "$SCRATCH/llama_cpp" "$LLAMA_CPP_LIBRARIES" "$@"; }
