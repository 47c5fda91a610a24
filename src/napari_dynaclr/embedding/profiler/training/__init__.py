"""Training a profiler by self-distillation with local aggregation (sslprofiler.txt, 3.2)."""
