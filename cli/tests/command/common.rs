//! The `proofmill` command, and a job for it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a manifest, and a store beside it.
pub struct Workplace {
    pub directory: TempDir,
}

pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).canonicalize().unwrap()
}

pub fn proofmill(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofmill"));
    command.args(args);
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The JSON objects in what a command printed.
pub fn events(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The one event of a kind.
pub fn event<'a>(events: &'a [Value], kind: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == kind).unwrap()
}

impl Workplace {
    /// A manifest of the digit classifier in `subgraphs` subgraphs, with more fields of the spec.
    pub fn new(subgraphs: u32, fields: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let digits = example("digits");
        let manifest = format!(
            "apiVersion: proofmill.dev/v1alpha1\nkind: ProofJob\nmetadata: {{name: digits}}\nspec:\n  \
             model:\n    source: {0}/digits.onnx\n    calibration: [{0}/calibration-0.png, {0}/calibration-1.png]\n  \
             input: {{url: {0}/digit-0-7.png}}\n  partition: {{subgraphs: {subgraphs}}}\n  securityBits: 100\n{fields}",
            digits.display()
        );
        fs::write(directory.path().join("job.yaml"), manifest).unwrap();
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `proofmill run` in this place, reporting as JSON.
    pub fn run(&self) -> Command {
        let mut command = proofmill(["run", "--json", "--store", "store", "--output", "out", "job.yaml"]);
        command.current_dir(self.directory.path());
        command
    }
}
