//! Below the level of [`Device`](crate::Device): arithmetic, sources against launches and images, and the emulator itself.

mod emulator;
mod field;
mod sources;
mod transcript;
