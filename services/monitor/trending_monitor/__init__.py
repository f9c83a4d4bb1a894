"""The monitor: windows of predictions, drift against the model's reference, gauges."""
