//! What workers did on GPUs, counted. A record is a worker's to write: a family of kernels that is not known has no series of its own.

use crds::contract::{GpuUsage, KERNEL_FAMILIES, OTHER_KERNELS};
use prometheus::{CounterVec, HistogramVec, IntCounterVec};

use crate::metrics::Maker;

/// Bytes of a GPU's memory: up to the largest of today.
const MEMORY_BYTES: [f64; 9] = [64e6, 256e6, 1e9, 4e9, 16e9, 32e9, 64e9, 128e9, 256e9];

/// See the module.
pub(crate) struct GpuMetrics {
    busy_seconds: CounterVec,
    kernel_seconds: CounterVec,
    launches: IntCounterVec,
    bytes: IntCounterVec,
    peak_memory: HistogramVec,
}

impl GpuMetrics {
    /// All at zero.
    pub(crate) fn new(make: &Maker) -> prometheus::Result<Self> {
        Ok(Self {
            busy_seconds: make.float_counters(
                "gpu_busy_seconds_total",
                "Time that kernels of workers ran on a GPU",
                &["stage"],
            )?,
            kernel_seconds: make.float_counters(
                "gpu_kernel_seconds_total",
                "Time that kernels of workers ran on a GPU, by family",
                &["stage", "kernel"],
            )?,
            launches: make.counters("gpu_launches_total", "Kernels that workers launched", &["stage"])?,
            bytes: make.counters(
                "gpu_bytes_total",
                "Bytes that workers have copied to a GPU and from it",
                &["stage", "op"],
            )?,
            peak_memory: make.histograms(
                "gpu_peak_memory_bytes",
                "Most of a GPU's memory that a worker held",
                &["stage"],
                &MEMORY_BYTES,
            )?,
        })
    }

    /// What one worker did.
    pub(crate) fn count(&self, stage: &str, gpu: &GpuUsage) {
        self.busy_seconds.with_label_values(&[stage]).inc_by(gpu.seconds.unwrap_or(0.0));
        for (family, &seconds) in &gpu.kernels {
            let family = KERNEL_FAMILIES.iter().find(|known| *known == family).unwrap_or(&OTHER_KERNELS);
            self.kernel_seconds.with_label_values(&[stage, family]).inc_by(seconds);
        }
        self.launches.with_label_values(&[stage]).inc_by(gpu.launches);
        for (op, bytes) in [("to_device", gpu.bytes_to_device), ("from_device", gpu.bytes_from_device)] {
            self.bytes.with_label_values(&[stage, op]).inc_by(bytes);
        }
        self.peak_memory.with_label_values(&[stage]).observe(gpu.peak_memory_bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crds::contract::GpuUsage;
    use prometheus::{Registry, TextEncoder};

    use super::GpuMetrics;
    use crate::metrics::Maker;

    #[test]
    fn families_that_are_not_known_are_one_series() {
        let registry = Registry::new();
        let metrics = GpuMetrics::new(&Maker { registry: &registry }).unwrap();
        let gpu = |kernels: &[(&str, f64)]| GpuUsage {
            seconds: Some(8.0),
            kernels: kernels.iter().map(|&(family, seconds)| (family.into(), seconds)).collect::<BTreeMap<_, _>>(),
            bytes_to_device: 5,
            ..GpuUsage::default()
        };
        metrics.count("prove", &gpu(&[("hash", 1.0), ("mine\"}", 2.0), ("other", 4.0), ("theirs", 0.5)]));
        // One that was not timed.
        metrics.count("prove", &GpuUsage { seconds: None, ..gpu(&[]) });
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let lines = |start: &str| text.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>();
        assert_eq!(
            lines("gpu_kernel_seconds_total"),
            [
                r#"gpu_kernel_seconds_total{kernel="hash",stage="prove"} 1"#,
                r#"gpu_kernel_seconds_total{kernel="other",stage="prove"} 6.5"#,
            ]
        );
        assert_eq!(lines("gpu_busy_seconds_total"), [r#"gpu_busy_seconds_total{stage="prove"} 8"#]);
        assert!(text.contains(r#"gpu_bytes_total{op="to_device",stage="prove"} 10"#), "{text}");
    }
}
