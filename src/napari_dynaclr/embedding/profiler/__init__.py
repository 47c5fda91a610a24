"""SSLProfiler: representations of cells and fields learned by self-distillation."""
