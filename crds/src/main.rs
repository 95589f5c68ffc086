//! Writes the custom resource definitions beside this crate: `crds/*.yaml`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, definition) in proofmill_crds::definitions() {
        fs::write(directory.join(file), proofmill_crds::yaml(&definition)?)?;
    }
    Ok(())
}
