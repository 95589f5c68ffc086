//! Memory that is freed stays with the process for what is allocated next.
//!
//! The prover allocates and frees vectors of many megabytes. By default glibc gives each back to the kernel, which maps and
//! zeroes every page again when the next is touched: a tenth to a quarter of a proof's processor time.

#![allow(unsafe_code, reason = "a setting of the C library")]

/// Keeps freed memory in this process. To be called once, when a program that proves begins; without effect on other C libraries.
pub fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [(libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1)] {
        // SAFETY: sets a number under the allocator's own lock; both are documented values (mallopt(3): no allocation gets a
        // mapping of its own, the top of the heap is never trimmed). What is not taken changes nothing.
        unsafe { libc::mallopt(parameter, value) };
    }
}
