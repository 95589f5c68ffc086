//! A stand-in for the driver, for tests: the kernels compiled for the processor. See `kernels/cuda/emulator`.
//!
//! With `PROOFMILL_TEST_GPU=n` the tests run on GPU `n` instead.

use super::Cuda;
use rayon::prelude::*;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::OnceLock;
use std::{env, fs};

/// Names the GPU that tests are to run on.
pub const GPU: &str = "PROOFMILL_TEST_GPU";
/// Names the checker that the emulator is compiled with: `address` or `thread`.
pub const CHECKER: &str = "PROOFMILL_EMULATOR_CHECKER";
/// If set, only the kernels with mistakes are compiled.
pub const ONLY_PLANTED: &str = "PROOFMILL_EMULATOR_ONLY_PLANTED";

const FLAGS: &[&str] = &["-std=c++17", "-O2", "-g1", "-fPIC", "-include", "cuda.h", "-I."];

/// The device that tests run on: the GPU that the environment names, or the emulator. `None`, with the reason printed, where there
/// is no C++ compiler for it.
///
/// # Panics
/// If the device is there and cannot be opened, or the emulator does not compile.
pub fn device_under_test() -> Option<Cuda> {
    if let Some(ordinal) = env::var_os(GPU) {
        let ordinal = ordinal.to_str().and_then(|n| n.parse().ok()).expect("PROOFMILL_TEST_GPU is the number of a GPU");
        return Some(Cuda::open(ordinal).expect("PROOFMILL_TEST_GPU names a GPU"));
    }
    static INSTALLED: OnceLock<bool> = OnceLock::new();
    INSTALLED
        .get_or_init(|| match compiler() {
            Ok(compiler) => {
                install(library(&compiler));
                true
            }
            Err(reason) => {
                eprintln!("skipped: {reason}");
                false
            }
        })
        .then(|| Cuda::open(0).expect("the emulator has a device"))
}

/// The folder of the emulator's library, for another program to find in the driver's place (`LD_LIBRARY_PATH`). `None`, with the reason
/// printed, where there is no C++ compiler for it.
///
/// # Panics
/// If the emulator does not compile.
pub fn folder() -> Option<PathBuf> {
    let compiler = compiler().inspect_err(|reason| eprintln!("skipped: {reason}")).ok()?;
    library(&compiler).parent().map(Path::to_owned)
}

/// A C++ compiler that runs.
///
/// # Errors
/// If there is none, with the reason.
pub fn compiler() -> Result<String, String> {
    let compiler = env::var("CXX").unwrap_or_else(|_| "c++".into());
    match Command::new(&compiler).arg("--version").output() {
        Ok(output) if output.status.success() => Ok(compiler),
        Ok(output) => Err(format!("the C++ compiler '{compiler}' does not run: {}", output.status)),
        Err(error) => Err(format!("the emulator needs a C++ compiler, and '{compiler}' cannot be started: {error}")),
    }
}

/// The emulator's library, compiled where something has changed: by the first thread that asks, for all of the process.
fn library(compiler: &str) -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| build(compiler).unwrap_or_else(|error| panic!("the emulator does not compile: {error}")))
}

/// Loads the library. Its name is the driver's, so that it is what the driver's loader finds.
fn install(library: &Path) {
    // SAFETY: the library is the one just compiled; its initialisers register kernels.
    let loaded = unsafe { libloading::Library::new(library) }.expect("the emulator has just been linked");
    std::mem::forget(loaded);
}

/// Objects and library lie beside the tests' own programs, under the digest of what they are made from.
fn build(compiler: &str) -> Result<PathBuf, Error> {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let emulator = kernels.join("emulator");
    let program = env::current_exe()?;
    let place = program.parent().unwrap_or(Path::new(".")).join("emulator");
    fs::create_dir_all(&place)?;
    let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.into()).collect();
    if let Ok(checker) = env::var(CHECKER) {
        flags.extend([format!("-fsanitize={checker}"), "-fno-omit-frame-pointer".into()]);
    }
    let only_planted = env::var_os(ONLY_PLANTED).is_some();
    let mut sources = files(&emulator, "cpp")?;
    sources.extend(files(&emulator, "cu")?);
    if !only_planted {
        sources.extend(files(&kernels, "cu")?);
    }
    let headers = [files(&emulator, "h")?, files(&kernels, "cuh")?].concat();
    let mut common = blake3::Hasher::new();
    common.update(format!("{compiler} {flags:?}").as_bytes());
    for header in headers {
        common.update(&fs::read(header)?);
    }
    let compile = |source: &PathBuf| -> Result<PathBuf, Error> {
        let digest = common.clone().update(&fs::read(source)?).finalize().to_hex();
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        let object = place.join(format!("{stem}-{}.o", &digest[..16]));
        once(&object, |out| {
            let mut command = Command::new(compiler);
            command.current_dir(&emulator).args(&flags).args(["-c", "-x", "c++"]).arg(source).arg("-o").arg(out);
            command
        })?;
        Ok(object)
    };
    let objects = sources.par_iter().map(compile).collect::<Result<Vec<_>, _>>()?;
    let digest = blake3::hash(format!("{objects:?}").as_bytes()).to_hex();
    let directory = place.join(&digest[..16]);
    fs::create_dir_all(&directory)?;
    let library = directory.join("libcuda.so");
    once(&library, |out| {
        let mut command = Command::new(compiler);
        command.args(&flags[..FLAGS.len() - 3]).args(&flags[FLAGS.len()..]).args(&objects);
        command.args(["-shared", "-Wl,-soname,libcuda.so", "-lpthread", "-o"]).arg(out);
        command
    })?;
    Ok(library)
}

/// The files of a folder with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs a command that makes a file, unless the file is there. Two processes may do so at once, two threads may not.
fn once(file: &Path, command: impl Fn(&Path) -> Command) -> Result<(), Error> {
    if file.exists() {
        return Ok(());
    }
    let unfinished = file.with_extension(format!("{}.tmp", id()));
    let output = command(&unfinished).output()?;
    if !output.status.success() {
        return Err(Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    fs::rename(unfinished, file)
}
