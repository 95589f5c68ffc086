//! Below the level of [`Device`](crate::Device): arithmetic, tensor cores, sources against launches and images, and the emulator itself.

mod emulator;
mod field;
mod sources;
mod tensor;
mod transcript;
