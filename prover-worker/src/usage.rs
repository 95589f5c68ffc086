//! What this process has cost so far.

use std::{fs, time::Instant};

use crds::contract::{GpuUsage, Traffic, Usage};
use kernels::DeviceUsage;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use sysinfo::System;

/// Time since `begun`, processor time and peak memory of this process, what it moved from and to the store, and what its GPU did.
pub(crate) fn measure(
    begun: Instant,
    device: &str,
    (read, written): (Traffic, Traffic),
    gpu: Option<GpuUsage>,
) -> Usage {
    Usage {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(),
        peak_memory_bytes: peak_memory_bytes().unwrap_or(0),
        device: device.into(),
        read,
        written,
        gpu,
    }
}

/// What a GPU did, for a result record. No longer than need be: times in microseconds.
pub(crate) fn of_gpu(usage: &DeviceUsage, timed: bool) -> GpuUsage {
    let rounded = |seconds: f64| (seconds * 1e6).round() / 1e6;
    let kernels = usage.kernels.iter().map(|(family, kernel)| ((*family).into(), rounded(kernel.seconds)));
    GpuUsage {
        seconds: timed.then(|| rounded(usage.seconds())),
        kernels: if timed { kernels.collect() } else { Default::default() },
        launches: usage.kernels.values().map(|kernel| kernel.launches).sum(),
        waits: usage.waits,
        bytes_to_device: usage.bytes_to_device,
        bytes_from_device: usage.bytes_from_device,
        peak_memory_bytes: usage.peak_memory_bytes,
    }
}

/// Processor time of all threads so far.
pub fn cpu_seconds() -> f64 {
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0.0, |usage| (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}

/// Starts the high-water mark anew, where the kernel has one: at what is held now.
pub fn restart_peak_memory() {
    // Without it the mark is of the whole process, which is what it is said to be.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Memory that is free, or that the kernel would free, within this process's control group; 0 where the system does not say.
pub(crate) fn available_memory_bytes() -> u64 {
    let Ok(mut system) = System::new() else { return 0 };
    system.refresh_memory();
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(group)
}

/// Linux's high-water mark. `getrusage` has one too, but a child inherits its parent's there.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
