//! The allocator of every program that proves.
//!
//! The prover allocates and frees vectors of many megabytes. The system's allocator has the kernel map and zero them page by page of 4 KiB, which
//! took a third of a proof's processor time (docs/decisions.md); this one asks for pages of 2 MiB and uses again what was freed.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
